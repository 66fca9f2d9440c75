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
    setTimeout(() => {
      at("list").focus();
      after();
    });
  };
  if (!dialog.open) dialog.showModal();
}

/** Ask for a note; keep(text) is called only if the person keeps it. known: a promise of the note that is there. */
export function askNote(known, keep) {
  const dialog = at("note-dialog"), field = at("note-text");
  field.value = "";
  // The dialog is open before the answer, so that no letter of the note is taken for a key of the page.
  known.then((text) => {
    if (text && dialog.open) field.value = field.value ? `${text}\n${field.value}` : text;
  });
  at("note-form").onsubmit = () => keep(field.value.trim());
  at("note-cancel").onclick = () => dialog.close();
  field.onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("note-form").requestSubmit();
  };
  dialog.showModal();
  field.focus();
}
