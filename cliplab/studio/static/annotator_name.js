// Who labels on this page, and which item they looked at last in this tab.

export const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";

/** Who labels. The server's --annotator counts until a person types another name; null: nobody said yet. */
export function annotatorName() {
  return localStorage.getItem(`cliplab-annotator-${meta("studio")}`) || meta("annotator") || null;
}
export function setAnnotatorName(name) {
  localStorage.setItem(`cliplab-annotator-${meta("studio")}`, name);
}

/** The number of the item that this tab showed last; null in a new tab. */
export function lastItem() {
  return Number(sessionStorage.getItem(`cliplab-item-${meta("studio")}`)) || null;
}
export function setLastItem(id) {
  sessionStorage.setItem(`cliplab-item-${meta("studio")}`, id);
}
