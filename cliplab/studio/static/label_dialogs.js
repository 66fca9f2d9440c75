// The two questions of the Label page: who labels, and what a note says.

import { annotatorName, say, setAnnotatorName, visible } from "/static/studio.js";

const at = (id) => document.getElementById(id);

export function showWho(name) {
  at("who").textContent = name ? `Labels as ${visible(name)}` : "Who labels?";
}

/** Ask for the annotator's name; then go on. */
export function askName(after) {
  const dialog = at("who-dialog"), form = at("who-form");
  at("who-name").value = annotatorName() ?? "";
  form.onsubmit = () => {
    const name = at("who-name").value.trim();
    if (!name) return;
    setAnnotatorName(name);
    showWho(name);
    say(`labels are stored as ${name}`);
    setTimeout(after);
  };
  if (!dialog.open) dialog.showModal();
}

/** Ask for a note; keep(text) is called only if the person keeps it. */
export function askNote(text, keep) {
  const dialog = at("note-dialog"), field = at("note-text");
  field.value = text;
  at("note-form").onsubmit = () => keep(field.value.trim());
  at("note-cancel").onclick = () => dialog.close();
  field.onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("note-form").requestSubmit();
  };
  dialog.showModal();
}
