// What every page shares: requests that carry the CSRF header, what an action says, and the sheet of keys.

import { api, AnswerError, refreshSession } from "/static/requests.js";
import { annotatorName, meta, setAnnotatorName } from "/static/annotator_name.js";
import { Outbox } from "/static/outbox.js";

export { annotatorName, api, AnswerError, refreshSession, setAnnotatorName };
export { listen } from "/static/events.js";

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
  return make("span", { class: `chip c${label.index % 8}` }, make("b", { "aria-hidden": "true" }, (label.key || "·").toUpperCase()), label.name);
}

const SLOW = 300; // milliseconds

/** A word in a place whose picture or video takes a while. arrived: a promise that settles when it is there. */
export function sayLoading(place, arrived) {
  const turn = (place.dataset.turn = String(Number(place.dataset.turn ?? 0) + 1));
  place.classList.remove("loading");
  const slow = setTimeout(() => place.dataset.turn === turn && place.classList.add("loading"), SLOW);
  arrived.catch(() => null).then(() => {
    clearTimeout(slow);
    if (place.dataset.turn === turn) place.classList.remove("loading");
  });
}

/** Resolves when a video has its first picture, or will have none. */
export const hasPicture = (video) =>
  new Promise((resolve) => ["loadeddata", "error", "emptied"].forEach((name) => video.addEventListener(name, resolve, { once: true })));

/** Why a file of the studio does not play: what the server says of it, or that the browser cannot. */
export async function whyNot(address) {
  try {
    await api(address, undefined, { headers: { Range: "bytes=0-0" } });
  } catch (error) {
    return error.message;
  }
  return "this browser cannot play it";
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

/** The labels of this browser on their way to the studio; each page shows its state and sends what others left. */
export const outbox = new Outbox(meta("studio"));

const saving = document.getElementById("saving");
const banner = document.getElementById("trouble");
const boxes = [];
function showSaving() {
  // A page may have two: labels, and what is said of clips. The one that has the most to say is shown.
  const box = boxes.find((one) => one.trouble && one.waiting) ?? boxes.find((one) => one.trouble) ?? boxes.find((one) => one.waiting) ?? boxes.find((one) => !one.opened) ?? outbox;
  const state = box.trouble ? (box.trouble === "offline" ? "offline" : "refused") : box.waiting ? "unsaved" : "";
  saving.className = `saving ${state}`;
  if (saving.textContent !== box.word) saving.textContent = box.word;
  // Why the store cannot be written was known when the page was made, before anything was typed.
  const sentence = ["", "offline"].includes(box.trouble) ? banner.dataset.always : box.sentence;
  banner.hidden = !sentence;
  if (banner.textContent !== sentence) banner.textContent = visible(sentence);
}
/** Show the state of an outbox at the fixed place. */
export function watch(box) {
  boxes.push(box);
  if (saving) {
    box.addEventListener("change", showSaving);
    box.addEventListener("stored", () => { banner.dataset.always = ""; }); // by a studio that was started again
    box.addEventListener("refused", ({ detail }) => say(`not accepted: ${detail.error}`, { bad: true }));
    showSaving();
  }
  return box;
}
watch(outbox);
