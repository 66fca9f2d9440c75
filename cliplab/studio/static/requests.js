// Requests that carry the CSRF header, and their errors.

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

// htmx sends the header too, in the way of its version 4.
document.addEventListener("htmx:config:request", (event) => {
  const context = event.detail.ctx;
  if (context?.request) context.request.headers["X-CSRF-Token"] = csrf;
});
