// The questions of the Label page: who labels, what a note says, and which of many classes.

import { annotatorName, chip, make, say, setAnnotatorName, visible } from "/static/studio.js";

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
  // known: a promise of the note as it was. The dialog is open before the answer, so that no letter of the note is taken for a key of the page.
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

/** Ask for a class by the beginning of its name, or else by a part of it; take(class) hears which. */
export function askClass(classes, take) {
  const dialog = at("find-dialog"), field = at("find-name");
  const fitting = () => {
    const typed = field.value.trim().toLowerCase();
    const begins = classes.filter((one) => one.name.toLowerCase().startsWith(typed));
    const holds = classes.filter((one) => !begins.includes(one) && one.name.toLowerCase().includes(typed));
    return [...begins, ...holds];
  };
  const draw = () => at("find-list").replaceChildren(...fitting().slice(0, 8).map((one) => make("li", {}, chip(one))));
  field.value = "";
  field.oninput = draw;
  at("find-form").onsubmit = () => {
    const [first] = field.value.trim() ? fitting() : [];
    if (first) setTimeout(() => take(first));
    else say("no class of this name");
  };
  draw();
  dialog.showModal();
  field.focus();
}
