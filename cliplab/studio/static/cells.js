// One item in the list or in the grid: its thumbnail, its name and its label.

import { chip, make } from "/static/studio.js";
import { DISAGREE, FLAGGED, MISSING } from "/static/items.js";

const MOST_CHIPS = 2; // in a cell

export function cellMaker(kind, choose) {
  return () => {
    const cell = make("div", { class: "cell", role: "option", id: `${kind}-${Math.random().toString(36).slice(2)}` },
      make("img", { alt: "", decoding: "async", draggable: "false" }),
      make("div", { class: "words" }, make("span", { class: "name" }), make("span", { class: "mark" })));
    cell.addEventListener("click", (event) => choose(Number(cell.dataset.index), event));
    return cell;
  };
}

export function cellDrawer(items, codes, state) {
  return (cell, index, quick = false) => {
    const id = items.ids[index], row = items.row(index), code = items.labels[index], flags = items.flags[index];
    cell.dataset.index = index;
    const picture = cell.firstChild, [name, mark] = cell.lastChild.children;
    const source = `/items/${id}/thumbnail?h=128`;
    if (picture.getAttribute("src") !== source) {
      picture.removeAttribute("src");
      if (!quick) picture.setAttribute("src", source);
    }
    const words = row ? row.name.split("/").at(-1) : `item ${id}`;
    if (name.textContent !== words) name.textContent = words;
    const marks = [flags & FLAGGED ? "flag" : "", flags & DISAGREE ? "disagree" : "", flags & MISSING ? "missing" : ""].filter(Boolean).join(" ");
    const labels = codes.classes(code);
    const more = labels.length > MOST_CHIPS ? ` +${labels.length - MOST_CHIPS}` : "";
    if (code) mark.replaceChildren(...labels.slice(0, MOST_CHIPS).map(chip), `${more} ${marks}`);
    else mark.textContent = marks || "–";
    const here = index === state.index;
    cell.classList.toggle("here", here);
    cell.setAttribute("aria-selected", String(here || state.selected.has(index)));
    cell.setAttribute("aria-posinset", index + 1);
    cell.setAttribute("aria-setsize", items.length);
    cell.setAttribute("aria-label", `${words}, ${code ? codes.words(code) : "unlabelled"} ${marks}`);
    if (here) cell.closest("[role=listbox]").setAttribute("aria-activedescendant", cell.id);
  };
}
