// Typing help: a part of a class's name, the arrows, and Enter. For studios of more classes than there are keys.

import { chip, make } from "/static/studio.js";

const MOST = 50;
const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

/** Classes that fit a text: those whose name begins with it, then those with a word that does, then the others. */
export function fitting(classes, text) {
  const wanted = plain(text.trim());
  if (!wanted) return classes.slice(0, MOST);
  const rank = (one) => {
    const name = plain(one.name);
    if (name.startsWith(wanted)) return 0;
    if (name.split(/[^\p{L}\p{N}]+/u).some((word) => word.startsWith(wanted))) return 1;
    return name.includes(wanted) ? 2 : 3;
  };
  return classes.map((one) => [rank(one), one]).filter(([place]) => place < 3)
    .sort((a, b) => a[0] - b[0] || a[1].index - b[1].index).slice(0, MOST).map(([, one]) => one);
}

/** Ask for a class; chosen(name) is called if the person takes one. */
export function findClass(classes, chosen) {
  const dialog = document.getElementById("class-dialog");
  const field = document.getElementById("class-text"), list = document.getElementById("class-found");
  let found = [], index = 0;
  const take = (one) => {
    dialog.close();
    if (one) chosen(one.name);
  };
  const draw = () => {
    list.replaceChildren(...found.map((one, place) =>
      make("div", { role: "option", id: `class-option-${place}`, "aria-selected": String(place === index), onclick: () => take(one) }, chip(one))));
    if (!found.length) list.append(make("p", { class: "quiet-text" }, "no class name contains this text"));
    field.setAttribute("aria-activedescendant", found.length ? `class-option-${index}` : "");
    list.children[index]?.scrollIntoView({ block: "nearest" });
  };
  const search = () => {
    [found, index] = [fitting(classes, field.value), 0];
    draw();
  };
  field.oninput = search;
  field.onkeydown = (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      index = Math.min(Math.max(0, index + (event.key === "ArrowDown" ? 1 : -1)), Math.max(0, found.length - 1));
      event.preventDefault();
      draw();
    } else if (event.key === "Enter") {
      event.preventDefault();
      take(found[index]);
    }
  };
  field.value = "";
  search();
  dialog.showModal();
  field.focus();
}
