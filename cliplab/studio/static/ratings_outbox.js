// What a person said of clips: kept in the browser first, then sent in order, until the studio has stored it.

import { api, outbox, say } from "/static/studio.js";
import { randomName } from "/static/outbox.js";

const studio = document.querySelector('meta[name="studio"]').content;
const kept = `cliplab-clips-${studio}:`; // one entry each, so that two tabs never write over each other's
const client = randomName();
let sequence = 0;
let sending = false;
let offline = false;

const waiting = () =>
  Object.keys(localStorage).filter((key) => key.startsWith(kept))
    .map((key) => ({ key, entry: JSON.parse(localStorage.getItem(key)) })).filter((one) => one.entry)
    .sort((one, other) => one.entry.at - other.entry.at || one.entry.body.sequence - other.entry.body.sequence);

/** Keep and send {path, body}; onStored receives each answer. */
export function keep(path, body, onStored = () => {}) {
  const whole = { ...body, client, sequence: sequence++ };
  localStorage.setItem(`${kept}${client}:${whole.sequence}`, JSON.stringify({ path, body: whole, at: Date.now() }));
  show();
  send(onStored);
}

/** Send what waits, also what a closed tab left. */
export async function send(onStored = () => {}) {
  if (sending) return;
  sending = true;
  let wait = 500;
  for (let [first] = waiting(); first; [first] = waiting()) {
    try {
      onStored(await api(first.entry.path, first.entry.body));
      offline = false;
    } catch (error) {
      if (error.status === undefined || error.status >= 500 || error.status === 401 || error.status === 403) {
        offline = error.status === undefined;
        show();
        await new Promise((resolve) => setTimeout(resolve, wait));
        wait = Math.min(2 * wait, 5000);
        continue;
      }
      // It will never be accepted: said, and left out.
      say(`not accepted: ${error.message}`, { bad: true });
    }
    localStorage.removeItem(first.key);
    show();
  }
  sending = false;
}

function show() {
  const count = waiting().length + outbox.waiting;
  const saving = document.getElementById("saving");
  saving.textContent = offline ? `offline: ${count} kept here` : count ? `${count} unsaved` : outbox.word;
  saving.className = `saving ${offline ? "offline" : count ? "unsaved" : ""}`;
}
// After the page's own listener, which knows of labels alone: it would say "saved" of ratings that are not.
outbox.addEventListener("change", show);
show();
