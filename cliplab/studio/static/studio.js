// What every page shares: requests that carry the CSRF header, what an action says, and the sheet of keys.

const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";
let csrf = meta("csrf");

/** An answer that is an error: its status, and the server's sentence. */
export class AnswerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function answered(response) {
  const kind = response.headers.get("content-type") ?? "";
  const value = kind.includes("json") ? await response.json() : await response.text();
  if (response.ok) return value;
  const sentence = value?.error ?? `the studio answered with status ${response.status}`;
  throw new AnswerError(response.status, sentence);
}

/** A new CSRF value, for a page that outlived the server that made it. */
export async function refreshSession() {
  csrf = (await answered(await fetch("/session", { cache: "no-store" }))).csrf;
  const tag = document.querySelector('meta[name="csrf"]');
  if (tag) tag.content = csrf;
}

/** Ask the server. With a body it is a POST of JSON (or of a FormData). Throws AnswerError; TypeError without network. */
export async function api(path, body = undefined, options = {}) {
  const ask = () => {
    if (body === undefined) return fetch(path, options);
    const form = body instanceof FormData;
    const headers = { "X-CSRF-Token": csrf, ...(form ? {} : { "Content-Type": "application/json" }) };
    return fetch(path, { method: "POST", body: form ? body : JSON.stringify(body), headers, ...options });
  };
  let response = await ask();
  if (response.status === 403 && response.headers.get("x-csrf") === "stale") {
    await refreshSession();
    response = await ask();
  }
  return answered(response);
}

let saidTimer;
/** Say what an action did, at the fixed place. bad: it failed, and stays until the next. */
export function say(text, { bad = false } = {}) {
  const place = document.getElementById("said");
  place.textContent = visible(text);
  place.classList.toggle("bad", bad);
  place.classList.add("on");
  clearTimeout(saidTimer);
  if (!bad) saidTimer = setTimeout(() => place.classList.remove("on"), 2500);
}

// Control characters, marks that turn the direction of writing, halves of surrogate pairs; as the server escapes them.
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** Text of a file or a person as one harmless line. */
export function visible(text) {
  return String(text).replace(UNSAFE, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** An element with attributes and children; text is never read as markup. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.map((child) => (child instanceof Node ? child : visible(child))));
  return element;
}

/** The chip of a class {name, key, index}: its colour and the letter of its key. */
export function chip(label) {
  return make("span", { class: `chip c${label.index % 8}` }, make("b", { "aria-hidden": "true" }, label.key || "·"), label.name);
}

const typing = (target) =>
  target instanceof HTMLElement &&
  (target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName) ||
    (target.tagName === "INPUT" && !["checkbox", "radio", "button", "submit", "range"].includes(target.type)));

/** "Shift+ArrowRight", "a", "?": how keys are named. Letters are lower case. */
export function keyName(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const shifted = event.shiftKey && (event.key.length > 1 || /\p{L}/u.test(event.key));
  return (event.ctrlKey || event.metaKey ? "Ctrl+" : "") + (event.altKey ? "Alt+" : "") + (shifted ? "Shift+" : "") + (key === " " ? "Space" : key);
}

/** Shortcuts of this page, one list for the handler and for the sheet. */
export const keys = {
  entries: [],
  /** entries: {keys: ["Shift+z"], does: "redo", run(event), up(event)?, repeat: false?}. */
  register(entries) {
    this.entries.push(...entries);
    this.draw();
  },
  replace(group, entries) {
    this.entries = this.entries.filter((entry) => entry.group !== group);
    this.register(entries.map((entry) => ({ ...entry, group })));
  },
  draw() {
    const list = document.getElementById("keys-list");
    list?.replaceChildren(
      ...this.entries.filter((entry) => entry.does).map((entry) =>
        make("div", {}, make("span", {}, ...entry.keys.flatMap((key) => [make("kbd", {}, pretty(key)), " "])), make("span", {}, entry.does))),
    );
  },
};
const PRETTY = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc" };
const pretty = (key) => key.split("+").map((part) => PRETTY[part] ?? (part.length === 1 ? part.toUpperCase() : part)).join(" ") || "+";

function handle(event, phase) {
  const name = keyName(event);
  if (typing(event.target) && name !== "Escape") return;
  if (document.querySelector("dialog[open]") && !event.target.closest?.("dialog[open]")) return;
  if (event.target.closest?.("dialog[open]")) return;
  // Space and Enter belong to the button that has the focus.
  if (["Space", "Enter"].includes(name) && event.target.closest?.("button, a, summary, input, [role=button]")) return;
  const entry = keys.entries.find((one) => one.keys.includes(name));
  const run = phase === "up" ? entry?.up : entry?.run;
  if (!run || (event.repeat && phase === "down" && entry.repeat === false)) return;
  event.preventDefault();
  run(event);
}
document.addEventListener("keydown", (event) => handle(event, "down"));
document.addEventListener("keyup", (event) => handle(event, "up"));

const sheet = document.getElementById("keys-sheet");
if (sheet) {
  const show = () => (sheet.open ? sheet.close() : sheet.showModal());
  keys.register([{ keys: ["?"], does: "show these keys", run: show }]);
  document.getElementById("show-keys").addEventListener("click", show);
  document.getElementById("close-keys").addEventListener("click", () => sheet.close());
}

/** Listen to the server's events: {topic: function(data)}. The browser connects again by itself. */
export function listen(handlers) {
  const source = new EventSource("/stream");
  for (const [topic, handler] of Object.entries(handlers)) {
    source.addEventListener(topic, (event) => handler(JSON.parse(event.data)));
  }
  addEventListener("pagehide", () => source.close());
  return source;
}

// htmx sends the header too, in the way of its version 4.
document.addEventListener("htmx:config:request", (event) => {
  const context = event.detail.ctx;
  if (context?.request) context.request.headers["X-CSRF-Token"] = csrf;
});
