// The Label page: one key a label. What a key does is stored in the outbox and shown at once; the network comes after.

import { annotatorName, api, chip, keys, listen, make, outbox, say, visible } from "/static/studio.js";
import { lastItem, setLastItem } from "/static/annotator_name.js";
import { clock, DISAGREE, FLAGGED, Items, MISSING } from "/static/items.js";
import { LabelCodes, namesOf, SEVERAL, spoken, valueOf } from "/static/label_codes.js";
import { Stage } from "/static/stage.js";
import { VirtualGrid } from "/static/virtual.js";
import { History } from "/static/history.js";
import { cellDrawer, cellMaker } from "/static/cells.js";
import { askClass, askName, askNote, showWho } from "/static/label_dialogs.js";

const at = (id) => document.getElementById(id);
const classes = JSON.parse(at("class-data").content.textContent);
const several = at("label-page").dataset.several === "1"; // an item may have several labels
const codes = new LabelCodes(outbox.studio, classes);
const items = new Items();
const stage = new Stage(at("stage"));
const history_ = new History(outbox.studio);
const state = { index: 0, gridOn: false, selected: new Set(), anchor: null, last: null, filters: {}, loading: new Set(),
  bare: true, // the item on screen is shown without its row, which is on its way
  listed: false }; // the list has come

// Lists -----------------------------------------------------------------------------------------------------------------

const drawCell = cellDrawer(items, codes, state);
const settled = (grid) => async (first, last) => {
  if (await items.fetchRows(first, last).catch(() => false)) grid.redrawAll();
};
const list = new VirtualGrid(at("list"), { cellHeight: 72, make: cellMaker("list", choose), draw: drawCell, settled: (...stretch) => settled(list)(...stretch) });
const grid = new VirtualGrid(at("grid"), { cellWidth: 176, cellHeight: 136, make: cellMaker("grid", choose), draw: drawCell, settled: (...stretch) => settled(grid)(...stretch) });

function redraw(index) {
  list.redraw(index);
  if (state.gridOn) grid.redraw(index);
}

function choose(index, event) {
  if (state.gridOn && event.shiftKey) selectTo(index);
  else if (state.gridOn && (event.ctrlKey || event.metaKey)) toggleSelected(index);
  else {
    clearSelection();
    go(index);
  }
}

function selectTo(index) {
  if (nothingHere()) return;
  const from = state.anchor ?? state.index;
  state.anchor = from;
  state.selected = new Set();
  for (let one = Math.min(from, index); one <= Math.max(from, index); one++) state.selected.add(one);
  go(index, { keep: true });
  grid.redrawAll();
  say(`${state.selected.size.toLocaleString("en")} selected; a class key labels all of them`);
}

function toggleSelected(index) {
  if (nothingHere()) return;
  if (!state.selected.delete(index)) state.selected.add(index);
  state.anchor = index;
  go(index, { keep: true });
  grid.redrawAll();
}

function clearSelection() {
  state.anchor = null;
  if (!state.selected.size) return;
  state.selected.clear();
  grid.redrawAll();
}

// The item on screen ------------------------------------------------------------------------------------------------------

/** Whether there is no item for a key to act on; then the page says why. */
function nothingHere() {
  if (!items.length) say(state.listed ? "no item is in this list" : "the list is still loading: press the key again in a moment");
  return !items.length;
}

const nameOf = (index) => items.row(index)?.name ?? `item ${items.ids[index]}`;

/** Show an item. since: when the key went down, for the measurement of how long it takes. */
function go(index, { keep = false, since = null } = {}) {
  if (nothingHere()) return;
  if (!items.length) return;
  const before = state.index;
  state.index = Math.max(0, Math.min(items.length - 1, index));
  if (!keep) state.anchor = null;
  setLastItem(items.ids[state.index]);
  redraw(before);
  showItem(since);
  list.reveal(state.index);
  if (state.gridOn) grid.reveal(state.index);
  redraw(state.index);
  loadAround(state.index);
}

async function loadAround(index) {
  if (!(await items.fetchRows(index - 8, index + 40).catch(() => false))) return;
  showItem(); // also of a list that was loaded again, whose former row is on screen
  list.redrawAll();
}

function showItem(since = null) {
  const index = state.index, id = items.ids[index], row = items.row(index);
  state.bare = !row;
  if (!state.gridOn) {
    const neighbours = Stage.around(index, items.length).map((one) => items.ids[one]);
    const decoded = stage.show(id, row, neighbours);
    if (since !== null) {
      decoded.then(() => requestAnimationFrame(() => setTimeout(() =>
        document.dispatchEvent(new CustomEvent("item-shown", { detail: { id, milliseconds: performance.now() - since } })))));
    }
  }
  at("name").textContent = row ? row.name : `item ${id}`;
  at("name").title = at("name").textContent;
  at("facts").textContent = row ? factsOf(row) : "";
  at("paint").hidden = row?.kind !== "video";
  at("paint").href = `/label/video/${id}`;
  showOwn();
}

function factsOf(row) {
  const facts = [];
  if (row.start_seconds !== null) facts.push(row.end_seconds === null ? clock(row.start_seconds) : `${clock(row.start_seconds)} to ${clock(row.end_seconds)}`);
  if (row.width) facts.push(`${row.width}×${row.height}`);
  if (row.predicted) facts.push(`model: ${row.predicted[0]} ${row.predicted[1].toFixed(2)}`);
  if (row.disagree) facts.push(`disagreement: ${Object.entries(row.labels).map(([who, label]) => `${who} ${spoken(label)}`).join(", ")}`);
  if (row.missing) facts.push(row.missing === "gone" ? "the file is missing; its labels are kept" : "the file was replaced by another one; its labels are kept");
  return visible(facts.join(" · "));
}

function showOwn() {
  const code = items.labels[state.index];
  const flagged = items.flags[state.index] & FLAGGED ? [make("span", { class: "warn" }, "flagged ")] : [];
  const own = code ? codes.classes(code).map(chip) : [make("span", { class: "quiet-text" }, "unlabelled")];
  at("own").replaceChildren(...flagged, ...own);
  const names = codes.names(code);
  for (const button of at("classes").children) {
    const on = button.dataset.none ? names?.length === 0 : names?.includes(button.dataset.name) ?? false;
    button.classList.toggle("on", on);
    button.setAttribute("aria-pressed", String(on));
  }
}

// Labels ------------------------------------------------------------------------------------------------------------------

const chosenPlaces = () => (state.gridOn && state.selected.size ? [...state.selected].sort((a, b) => a - b) : [state.index]);

/** What the key of a class does: label and go on; where an item may have several labels, give it or take it away. */
function press(code, event) {
  if (!several) return label(code, event);
  if (nothingHere()) return null;
  const [name] = codes.names(code), places = chosenPlaces();
  if (places.some((place) => items.labels[place] === SEVERAL)) return say("the labels are still loading: press the key again");
  const has = places.every((place) => codes.names(items.labels[place])?.includes(name));
  const changed = new Map(places.map((place) => {
    const rest = (codes.names(items.labels[place]) ?? []).filter((one) => one !== name);
    return [place, has ? (rest.length ? codes.codeOf(rest) : 0) : codes.codeOf([...rest, name])];
  }));
  return give(changed, has ? `${name} removed` : name, null, event);
}

/** Label the item on screen, or all that are selected, and go on to the next. code 0 removes the label. */
function label(code, event) {
  if (nothingHere()) return;
  const places = chosenPlaces(), changed = new Map(places.map((place) => [place, code]));
  if (!code && places.every((place) => !items.labels[place])) {
    say(`no label to remove: ${places.length > 1 ? `${places.length.toLocaleString("en")} items` : nameOf(places[0])}`);
    return;
  }
  if (give(changed, code ? codes.words(code) : "label removed", () => label(code), event) && code) state.last = code;
}

/** Store a code for each place. onward: what to do again once the name is known, and that the page goes on. */
function give(changed, text, onward, event) {
  const since = event?.timeStamp ?? performance.now(), who = annotatorName(), places = [...changed.keys()];
  if (!who) {
    askName(onward ?? (() => give(changed, text, null)));
    return false;
  }
  const named = outbox.putAll(places.map((place) => {
    const code = changed.get(place), names = codes.names(code);
    return { annotator: who, item: items.ids[place], action: names ? "label" : "clear", value: names ? valueOf(names) : {}, local: { code, names } };
  }));
  history_.push(places.map((place, one) => ({ ...named[one], kind: "label", item: items.ids[place], from: items.labels[place], to: changed.get(place), text })));
  for (const place of places) {
    const code = changed.get(place);
    count(items.labels[place], code);
    setCode(place, code);
    redraw(place);
  }
  if (!onward) {
    state.last = changed.get(places[0]) || state.last;
    showOwn();
    say(`${text}: ${places.length > 1 ? `${places.length.toLocaleString("en")} items` : nameOf(places[0])}`);
    return true;
  }
  say(places.length > 1 ? `${text}: ${places.length.toLocaleString("en")} items` : `${text}: ${nameOf(places[0])}`);
  state.selected.clear();
  state.anchor = null;
  if (state.gridOn && places.length > 1) grid.redrawAll();
  const end = places.at(-1);
  if (end + 1 < items.length) go(end + 1, { since });
  else {
    showOwn();
    say(`${text}: ${nameOf(end)} · this was the last item of the list`);
  }
  return true;
}

function setCode(place, code) {
  items.labels[place] = code;
  for (const since of state.loading) since.set(items.ids[place], code);
}

const localOf = (code) => ({ code, names: codes.names(code) });

function again(redo) {
  const group = redo ? history_.redo() : history_.undo();
  if (!group) {
    say(redo ? "nothing to redo" : "nothing to undo in this tab");
    return;
  }
  const who = annotatorName();
  outbox.putAll(group.map((one) => ({
    annotator: who, item: one.item, action: redo ? "redo" : "undo", value: { client: one.client, sequence: one.sequence },
    local: one.kind === "label" ? localOf(redo ? one.to : one.from) : null,
  })));
  for (const one of group) {
    const place = items.indexOf(one.item);
    if (place < 0) continue;
    if (one.kind === "label") {
      count(items.labels[place], redo ? one.to : one.from);
      setCode(place, redo ? one.to : one.from);
    }
    if (one.kind === "flag") items.flags[place] ^= FLAGGED;
    redraw(place);
  }
  const place = items.indexOf(group[0].item);
  if (place >= 0) go(place);
  const about = group.length > 1 ? `${group.length.toLocaleString("en")} items` : place >= 0 ? nameOf(place) : `item ${group[0].item}, which is not in this list`;
  say(`${redo ? "done again" : "undone"}: ${group[0].text}, ${about}`);
}

function flag() {
  if (nothingHere()) return null;
  const who = annotatorName();
  if (!who) return askName(flag);
  const index = state.index, on = !(items.flags[index] & FLAGGED);
  const named = outbox.put(who, items.ids[index], "flag", { on });
  history_.push([{ ...named, kind: "flag", item: items.ids[index], text: on ? "flag" : "flag removed" }]);
  items.flags[index] ^= FLAGGED;
  redraw(index);
  showOwn();
  return say(`${on ? "flagged" : "flag removed"}: ${nameOf(index)}`);
}

function note() {
  if (nothingHere()) return null;
  const who = annotatorName();
  if (!who) return askName(note);
  const index = state.index, id = items.ids[index];
  const known = api(`/state/${id}`).then((found) => found.notes[who] ?? "", () => "");
  return askNote(known, (text) => {
    const named = outbox.put(who, id, "note", { text });
    history_.push([{ ...named, kind: "note", item: id, text: "note" }]);
    say(`note kept: ${nameOf(index)}`);
  });
}

// Progress ----------------------------------------------------------------------------------------------------------------

const progress = { ...JSON.parse(at("progress-data").content.textContent), waiting: null };
function count(from, to) {
  progress.labelled += (to ? 1 : 0) - (from ? 1 : 0);
  showProgress();
}
function showProgress() {
  const parts = [`${Math.max(0, progress.labelled).toLocaleString("en")} of ${progress.items.toLocaleString("en")} labelled`];
  if (progress.disagree) parts.push(`${progress.disagree.toLocaleString("en")} disagree`);
  if (progress.flagged) parts.push(`${progress.flagged.toLocaleString("en")} flagged`);
  at("progress").textContent = parts.join(" · ");
}
async function loadProgress() {
  progress.waiting = null;
  const found = await api("/progress").catch(() => null);
  if (!found) return;
  // The studio does not know yet of the labels that wait here, which are counted already.
  Object.assign(progress, outbox.waiting ? { ...found, labelled: progress.labelled } : found);
  showProgress();
}
function progressSoon() {
  progress.waiting ??= setTimeout(loadProgress, 1500);
}

// Moving --------------------------------------------------------------------------------------------------------------------

function jump(test, what) {
  const index = items.next(state.index, test);
  if (index < 0) say(`no ${what} item in this list`);
  else {
    clearSelection();
    go(index);
    say(`${what}: ${nameOf(index)}`);
  }
}

async function uncertain() {
  const query = new URLSearchParams({ want: "uncertain", after: items.ids[state.index] ?? 0, as: annotatorName() ?? "" });
  const { item } = await api(`/next?${query}`).catch((error) => ({ error }));
  if (item === undefined) say("the studio does not respond; only the studio knows the next uncertain item", { bad: true });
  else if (item === null) say("no uncertain item: first let a model score the items (Review page, or cliplab label auto)");
  else if (items.indexOf(item) < 0) say("the next uncertain item is not in this list; choose all items");
  else {
    go(items.indexOf(item));
    say(`uncertain: ${nameOf(state.index)}`);
  }
}

function move(step, event) {
  if (state.gridOn && event.shiftKey) selectTo(Math.max(0, Math.min(items.length - 1, (state.index) + step)));
  else {
    clearSelection();
    go(state.index + step, { since: event.timeStamp });
  }
}

function showGrid(on) {
  state.gridOn = on;
  at("grid").hidden = !on;
  at("stage").hidden = on;
  at("grid-button").setAttribute("aria-pressed", String(on));
  clearSelection();
  if (on) {
    grid.refresh();
    grid.reveal(state.index);
    at("grid").focus();
  }
  go(state.index);
}

async function selectAlike() {
  if (nothingHere()) return;
  if (!state.gridOn) showGrid(true);
  say("comparing with the neighbours…");
  const { items: alike } = await api(`/items/${items.ids[state.index]}/alike`).catch((error) => ({ items: [], error }));
  const places = alike.map((id) => items.indexOf(id)).filter((place) => place >= 0);
  state.selected = new Set([state.index, ...places]);
  grid.redrawAll();
  say(places.length ? `${state.selected.size} nearly identical items selected; a class key labels all of them` : "no neighbour looks nearly identical");
}

// Keys ----------------------------------------------------------------------------------------------------------------------

const ten = (step) => (event) => move(event.shiftKey && !state.gridOn ? 10 * step : step, event);
const rowOf = (step) => (event) => move(step * (state.gridOn ? grid.columns : 1), event);
keys.register([
  { keys: ["ArrowRight", "Shift+ArrowRight"], does: "next; with Shift 10 forward, or select in the grid", run: ten(1) },
  { keys: ["ArrowLeft", "Shift+ArrowLeft"], does: "previous; with Shift 10 back, or select in the grid", run: ten(-1) },
  { keys: ["ArrowDown", "Shift+ArrowDown"], does: "next row", run: rowOf(1) },
  { keys: ["ArrowUp", "Shift+ArrowUp"], does: "previous row", run: rowOf(-1) },
  { keys: ["Home"], does: "first", run: () => go(0) },
  { keys: ["End"], does: "last", run: () => go(items.length - 1) },
  { keys: ["u"], does: "next unlabelled", run: () => jump((one) => !items.labels[one] && !(items.flags[one] & MISSING), "unlabelled") },
  { keys: ["x"], does: "next uncertain", run: uncertain },
  { keys: ["r"], does: "repeat the last label", repeat: false, run: (event) => (state.last ? label(state.last, event) : say("no label to repeat yet")) },
  { keys: ["z"], does: "undo", run: () => again(false) },
  { keys: ["Shift+z"], does: "redo", run: () => again(true) },
  { keys: ["Delete", "Backspace"], does: "remove the label", repeat: false, run: (event) => label(0, event) },
  { keys: ["f"], does: "flag", repeat: false, run: flag },
  { keys: ["m"], does: "note", repeat: false, run: note },
  { keys: ["Enter"], does: "grid, or one item", repeat: false, run: () => showGrid(!state.gridOn) },
  { keys: ["Space"], does: "play or pause; in the grid select", run: () => (state.gridOn ? toggleSelected(state.index) : say(stage.toggle() ?? "nothing to play: this is a picture")) },
  { keys: ["Ctrl+a"], does: "in the grid: select all", run: () => { if (state.gridOn) { state.anchor = 0; selectTo(items.length - 1); } } },
  { keys: ["Shift+a"], does: "select nearly identical neighbours", repeat: false, run: selectAlike },
  { keys: ["Ctrl+k"], does: "label by name", run: () => askClass(classes, (one) => press(one.index + 1)) },
  { keys: ["Shift+v"], does: "intervals of this video", run: () => (at("paint").hidden ? say("this is not a video") : at("paint").click()) },
  { keys: ["/"], does: "search", run: () => at("filter-text").focus() },
  { keys: ["Escape"], does: "leave search, selection, grid", run: escape },
]);

function escape() {
  if (at("filters").contains(document.activeElement)) at("list").focus();
  else if (state.selected.size) clearSelection();
  else if (state.gridOn) showGrid(false);
}

const digits = new Set(classes.map((one) => one.key));
keys.register(classes.map((one, place) => {
  const digit = String(place + 1);
  const own = [one.key, ...(place < 9 && !digits.has(digit) ? [digit] : [])].filter(Boolean);
  return { keys: own, does: own.length ? visible(one.name) : "", repeat: false, run: (event) => press(one.index + 1, event) };
}));
const none = codes.codeOf([]);
if (several) keys.register([{ keys: ["0"], does: "none of the classes", repeat: false, run: (event) => label(none, event) }]);

for (const [place, button] of [...at("classes").children].entries()) {
  button.addEventListener("click", (event) => (button.dataset.none ? label(none, event) : press(classes[place].index + 1, event)));
}
for (const button of document.querySelectorAll(".tools [data-key]")) {
  const entry = keys.entries.find((one) => one.keys.includes(button.dataset.key));
  button.addEventListener("click", (event) => entry.run(event));
}

// Loading -------------------------------------------------------------------------------------------------------------------

async function load({ first = false } = {}) {
  const since = new Map(); // what is labelled while the list is on its way: the answer may not know of it
  state.loading.add(since);
  let found, pending;
  try {
    // A new page asks for its list while the browser opens what waits here; mostly nothing does.
    const early = first ? items.ask(state.filters, annotatorName()) : null;
    early?.catch(() => null);
    // Before the list: what is stored between the two answers would otherwise be in neither.
    pending = await outbox.pending();
    const unknown = pending.length || outbox.leftBehind; // to the early answer
    found = await (early && !unknown ? early : items.ask(state.filters, annotatorName()));
  } catch (error) {
    at("count").textContent = `the list could not be loaded: ${visible(error.message)}`;
    say("the list could not be loaded; trying again", { bad: true });
    setTimeout(() => load({ first }), 2000);
    return;
  } finally {
    state.loading.delete(since);
  }
  // Where the person is now, not where they were when this was asked for.
  const shown = items.ids[state.index] ?? lastItem();
  const chosen = [...state.selected].map((place) => items.ids[place]), anchor = items.ids[state.anchor];
  items.take(found);
  state.listed = true;
  const own = pending.filter((event) => event.local?.code !== undefined && event.annotator === items.annotator);
  for (const [id, code] of [...own.map((event) => [event.item, codeOf(event.local)]), ...since]) {
    const place = items.indexOf(id);
    if (place >= 0) items.labels[place] = code;
  }
  const place = items.indexOf(shown);
  const start = items.labels.findIndex((code, one) => !code && !(items.flags[one] & MISSING));
  const next = place >= 0 ? place : first && start >= 0 ? start : 0;
  // Asked for before the thumbnails of the list: a browser has six connections, and the person waits for this one.
  if (items.length && !state.gridOn) stage.prepare(items.ids[next]);
  list.setCount(items.length);
  grid.setCount(items.length);
  // What was selected while the list was on its way stays selected, where it is in the list.
  state.selected = new Set(chosen.map((id) => items.indexOf(id)).filter((one) => one >= 0));
  state.anchor = anchor !== undefined && items.indexOf(anchor) >= 0 ? items.indexOf(anchor) : null;
  at("count").textContent = `${items.length.toLocaleString("en")} in this list`;
  if (!items.length) {
    at("stage").replaceChildren(make("p", {}, "No item is in this list. Choose all items, or another search."));
    at("name").textContent = at("facts").textContent = "";
    at("own").replaceChildren();
    return;
  }
  go(next, { keep: place >= 0 });
}

function filter() {
  const chosen = new FormData(at("filters"));
  state.filters = Object.fromEntries([...chosen].filter(([, value]) => value));
  clearSelection();
  load();
}
let typed;
at("filters").addEventListener("input", (event) => {
  clearTimeout(typed);
  typed = setTimeout(filter, event.target.type === "search" ? 200 : 0);
});
at("filters").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(typed);
  filter();
  at("list").focus();
});

/** The code of a label that waits in the outbox: a code of several labels is another one in another tab. */
const codeOf = ({ code, names }) => (names && names.length !== 1 ? codes.codeOf(names) : code);

/** What others did, and this person in another tab: their items are read again. */
const changedItems = new Set();
let changedTimer = null;
function changed({ items: numbers, clients }) {
  progressSoon();
  if (clients.every((client) => client === outbox.client)) return;
  for (const id of numbers) if (items.indexOf(id) >= 0) changedItems.add(id);
  changedTimer ??= setTimeout(readChanged, 300);
}

async function readChanged() {
  if (changedItems.size > 400) {
    changedItems.clear();
    await load();
    changedTimer = setTimeout(() => (changedTimer = null, changedItems.size && readChanged()), 3000);
    return;
  }
  const ids = [...changedItems].slice(0, 200);
  const places = ids.map((id) => items.indexOf(id)).filter((place) => place >= 0);
  ids.forEach((id) => (changedItems.delete(id), items.rows.delete(id), items.former.delete(id)));
  const own = new Set((await outbox.pending().catch(() => [])).map((event) => event.item));
  await items.fetchIds(ids).catch(() => null);
  for (const place of places) if (!own.has(items.ids[place])) adopt(place);
  list.redrawAll();
  if (state.gridOn) grid.redrawAll();
  showOwn();
  changedTimer = changedItems.size ? setTimeout(readChanged, 300) : null;
}

function adopt(index) {
  const row = items.row(index);
  if (!row) return;
  items.labels[index] = codes.codeOf(namesOf(row.own));
  items.flags[index] = (items.flags[index] & ~(DISAGREE | FLAGGED)) | (row.disagree ? DISAGREE : 0) | (row.flagged ? FLAGGED : 0);
}

items.onRow = (row) => {
  const place = items.indexOf(row.id);
  if (items.labels[place] === SEVERAL) items.labels[place] = codes.codeOf(namesOf(row.own));
  // The item on screen may have been asked for with another one, which the person has left since.
  if (place === state.index && state.bare) queueMicrotask(showItem); // once its neighbours' rows are taken too
  else if (place === state.index) showOwn();
};
outbox.addEventListener("stored", progressSoon);
outbox.addEventListener("refused", () => setTimeout(load, 500));
listen({ labels: changed, items: () => load() }, (again) => again && load());
at("who").addEventListener("click", () => askName(() => load()));
showWho(annotatorName());
load({ first: true }).then(loadProgress);
if (!annotatorName()) askName(() => load({ first: true }));
