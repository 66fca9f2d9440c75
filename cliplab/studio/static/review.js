// The Review page: one item after the other from a queue; Enter confirms, a class's key changes, Z undoes.

import { annotatorName, api, chip, keys, listen, make, outbox, say, visible } from "/static/studio.js";
import { askName, askNote, showWho } from "/static/label_dialogs.js";
import { Stage } from "/static/stage.js";
import { findClass } from "/static/class_finder.js";
import { namesOf, spoken, valueOf } from "/static/label_codes.js";

const at = (id) => document.getElementById(id);
const classes = JSON.parse(at("class-data").content.textContent);
const byName = new Map(classes.map((one) => [one.name, one]));
const stage = new Stage(at("stage"));
const asked = new URLSearchParams(location.search).get("kind");
const state = { kind: document.querySelector(`[data-kind="${CSS.escape(asked ?? "")}"]`) ? asked : "uncertain", ids: [], index: 0, row: null, turn: 0, drafts: new Map(), done: new Map(), history: [], redone: [] };
const rows = new Map(); // id -> promise of its row
const MOST_CHIPS = 60;

const percent = (score) => `${Math.round(score * 100)}%`;
const several = at("review-page").dataset.several === "1"; // an item may have several labels
const classOf = (name) => byName.get(name) ?? { name, key: "", index: 7 };
const chipsOf = (text) => (namesOf(text).length ? namesOf(text) : [spoken(text)]).map((name) => chip(classOf(name)));
const textOf = (names) => [...names].sort().join("\u001f") || "\u001f"; // as the studio stores several labels

function rowOf(id) {
  if (!rows.has(id)) {
    const found = api(`/review/items/${id}`);
    found.catch(() => rows.delete(id));
    rows.set(id, found);
  }
  return rows.get(id);
}

// What is shown -------------------------------------------------------------------------------------------------------

async function load({ keep = false } = {}) {
  const here = keep ? state.ids[state.index] : null;
  const form = new FormData(at("review-filters"));
  const query = new URLSearchParams({ ...Object.fromEntries(form), kind: state.kind });
  const turn = ++state.turn;
  state.row = null;
  at("place").textContent = "loading";
  let answer;
  try {
    answer = await api(`/review/queue?${query}`);
  } catch (error) {
    if (turn === state.turn) await show(); // the queue before stays
    say(error.message, { bad: true });
    return;
  }
  if (turn !== state.turn) return; // another queue was asked for meanwhile
  state.ids = answer.items;
  state.done = new Map([...state.done].filter(([id]) => state.ids.includes(id)));
  state.index = Math.max(0, state.ids.indexOf(here));
  rows.clear();
  for (const place of document.querySelectorAll("[data-count]")) place.textContent = answer.counts[place.dataset.count].toLocaleString("en");
  at("model-name").textContent = answer.model ? visible(answer.model) : "no model has scored the items";
  at("empty").textContent = answer.empty;
  at("empty").hidden = state.ids.length > 0;
  await show();
}

async function show() {
  const id = state.ids[state.index];
  at("confirm").disabled = id === undefined;
  if (id === undefined) {
    state.row = null;
    at("stage").replaceChildren();
    for (const place of ["name", "facts", "place"]) at(place).textContent = "";
    for (const place of ["scores", "people", "notes"]) at(place).replaceChildren();
    at("timeline").hidden = true;
    drawClasses();
    return;
  }
  state.row = null; // a key that is pressed while the next item loads must not decide over the one before
  let row;
  try {
    row = await rowOf(id);
  } catch (error) {
    if (state.ids[state.index] === id) showPlace();
    say(error.message, { bad: true });
    return;
  }
  if (state.ids[state.index] !== id) return; // another item was asked for meanwhile
  state.row = row;
  showPlace();
  const around = Stage.around(state.index, state.ids.length).map((index) => state.ids[index]);
  stage.show(id, row, around);
  around.slice(0, 3).forEach((id) => rowOf(id));
  drawFacts(row);
  drawClasses();
}

function showPlace() {
  at("place").textContent = `${(state.index + 1).toLocaleString("en")} of ${state.ids.length.toLocaleString("en")}`;
}

function drawFacts(row) {
  at("name").textContent = row.name;
  const times = row.start_seconds === null ? "" : ` ${row.start_seconds.toFixed(2)} s`;
  at("facts").textContent = [row.source && `of ${row.source}${times}`, row.flagged && "flagged"].filter(Boolean).join(" · ");
  at("scores").replaceChildren(
    ...row.scores.flatMap(({ label, score }) => [
      chip(classOf(label)), make("span", {}, percent(score)),
      make("meter", { min: 0, max: 1, value: score, "aria-label": `score of ${label}` }),
    ]),
  );
  if (!row.scores.length) at("scores").append(make("p", { class: "quiet-text" }, "not scored"));
  const people = Object.entries(row.labels).map(([who, label]) => make("div", { class: "people-row" }, make("span", {}, who), ...chipsOf(label)));
  if (row.review !== null) people.push(make("div", { class: "people-row" }, make("span", {}, "decided"), ...chipsOf(row.review)));
  at("people").replaceChildren(...(people.length ? people : [make("p", { class: "quiet-text" }, "no labels by people")]));
  at("notes").replaceChildren(...Object.entries(row.notes).map(([who, text]) => make("p", {}, `${who}: ${text}`)));
  at("timeline").hidden = row.kind !== "video";
  at("timeline").href = `/label/video/${row.id}`;
}

function present(row) {
  if (!row) return null;
  return state.drafts.get(row.id) ?? state.done.get(row.id) ?? row.review ?? (new Set(Object.values(row.labels)).size === 1 ? Object.values(row.labels)[0] : null);
}

function drawClasses() {
  const row = state.row, now = namesOf(present(row)) ?? [], said = row?.predicted?.[0];
  const shown = classes.length <= MOST_CHIPS ? classes : classes.filter((one) => one.key || one.name === said || now.includes(one.name));
  at("classes").replaceChildren(
    ...shown.map((one) =>
      make("button", {
        type: "button", "aria-pressed": String(now.includes(one.name)), class: one.name === said ? "said-by-model" : "",
        title: one.name === said ? "the model's answer" : one.name, onclick: () => press(one.name),
      }, chip(one))),
  );
  const answer = suggestion();
  at("confirm").replaceChildren(...(answer ? ["Confirm ", visible(spoken(answer)), " "] : ["Confirm "]), make("kbd", {}, "Enter"));
}

/** What Enter confirms: the label that is there, or what the model says of an item without one. */
function suggestion() {
  const row = state.row;
  if (!row) return null;
  if (row.disagree && row.review === null && !state.done.has(row.id) && !state.drafts.has(row.id)) return null;
  return present(row) ?? row.predicted?.[0] ?? null;
}

function go(step) {
  const index = Math.min(Math.max(0, state.index + step), Math.max(0, state.ids.length - 1));
  if (index === state.index && step > 0) say("this was the last item of the queue");
  state.index = index;
  return show();
}

// What a person does --------------------------------------------------------------------------------------------------

function sayLoading() {
  if (state.ids.length) say("the item is still loading: press the key again when it is shown");
}

/** What the key of a class does: decide; where an item may have several labels, put it to what Enter confirms, or take it away. */
function press(name) {
  if (!several) {
    decide(name);
    return;
  }
  if (!state.row) {
    sayLoading();
    return;
  }
  const now = namesOf(present(state.row) ?? state.row.predicted?.[0] ?? null) ?? [];
  state.drafts.set(state.row.id, textOf(now.includes(name) ? now.filter((one) => one !== name) : [...now, name]));
  drawClasses();
}

/** A label of an item without one; a decision over the labels of others. */
function decide(label) {
  const row = state.row, who = annotatorName();
  if (!row) {
    sayLoading();
    return;
  }
  if (!who) {
    askName(() => decide(label));
    return;
  }
  const action = Object.keys(row.labels).length && state.kind !== "uncertain" && state.kind !== "sure" ? "review" : "label";
  const named = outbox.put(who, row.id, action, valueOf(namesOf(label)));
  state.history.push({ ...named, item: row.id, text: label, before: state.done.get(row.id) });
  state.redone = [];
  state.drafts.delete(row.id);
  state.done.set(row.id, label);
  say(`${action === "review" ? "decided" : "labelled"} ${spoken(label)}: ${row.name}`);
  rows.delete(row.id);
  go(1);
}

function confirmIt() {
  const answer = suggestion();
  if (!state.row) sayLoading();
  else if (answer) decide(answer);
  else say("press the key of a class: nothing is suggested for this item");
}

function undo(again) {
  const one = (again ? state.redone : state.history).pop();
  if (!one) {
    say(again ? "nothing to redo" : "nothing to undo in this tab");
    return;
  }
  (again ? state.history : state.redone).push(one);
  outbox.put(annotatorName(), one.item, again ? "redo" : "undo", { client: one.client, sequence: one.sequence });
  if (again) state.done.set(one.item, one.text);
  else if (one.before === undefined) state.done.delete(one.item);
  else state.done.set(one.item, one.before);
  const index = state.ids.indexOf(one.item);
  if (index >= 0) state.index = index;
  rows.delete(one.item);
  show();
  say(`${again ? "done again" : "undone"}: ${spoken(one.text)}`);
}

function flag() {
  const row = state.row, who = annotatorName();
  if (!row) return;
  if (!who) {
    askName(flag);
    return;
  }
  row.flagged = !row.flagged;
  const named = outbox.put(who, row.id, "flag", { on: row.flagged });
  state.history.push({ ...named, item: row.id, text: row.flagged ? "flag" : "flag removed", before: state.done.get(row.id) });
  drawFacts(row);
  say(`${row.flagged ? "flagged" : "flag removed"}: ${row.name}`);
}

function note() {
  const row = state.row, who = annotatorName();
  if (!row) return;
  if (!who) {
    askName(note);
    return;
  }
  askNote(Promise.resolve(row.notes[who] ?? ""), (text) => {
    outbox.put(who, row.id, "note", { text });
    row.notes[who] = text;
    drawFacts(row);
    say(`note kept: ${row.name}`);
  });
}

// Models --------------------------------------------------------------------------------------------------------------

function showJob(job) {
  const running = job?.state === "running";
  at("job-progress").hidden = !running;
  at("retrain-now").disabled = at("score-now").disabled = running;
  if (!running) return;
  if (job.total) {
    at("job-progress").max = job.total;
    at("job-progress").value = job.done;
  } else at("job-progress").removeAttribute("value");
  at("retrain-said").textContent = `${job.stage || job.title}${job.total ? ` ${job.done.toLocaleString("en")} of ${job.total.toLocaleString("en")}` : ""}`;
}

async function showState() {
  const found = await api("/review/state");
  const { progress } = found;
  at("progress").textContent = `${progress.labelled.toLocaleString("en")} of ${progress.items.toLocaleString("en")} labelled · ${progress.disagree.toLocaleString("en")} disagree`;
  showJob(found.job);
  if (!found.job) at("retrain-said").textContent = found.not_yet ?? (found.last ? [found.last.sentence, ...found.last.warnings].join(". ") : "");
}

async function start(path) {
  try {
    await api(path, { model: at("model").value });
    showJob({ state: "running", stage: "starting" });
  } catch (error) {
    at("retrain-said").textContent = error.message;
    say(error.message, { bad: true });
  }
}

async function jobChanged(job) {
  if (!["retrain", "prelabel"].includes(job.kind)) return;
  showJob(job);
  if (job.what !== "state" || job.state === "running") return;
  if (job.state === "done") {
    await Promise.all([showState(), load()]);
    at("retrain-said").textContent = [job.result.sentence, ...(job.result.warnings ?? job.result.notes ?? [])].join(". ");
    say("the queue has a new order");
  } else {
    at("retrain-said").textContent = job.error ?? `${job.title}: ${job.state}`;
    say(job.error ?? `${job.title}: ${job.state}`, { bad: true });
  }
}

// Keys and forms ------------------------------------------------------------------------------------------------------

keys.register([
  { keys: ["Enter"], does: "confirm, and continue", run: confirmIt, repeat: false },
  { keys: ["ArrowRight"], does: "skip", run: () => go(1) },
  { keys: ["ArrowLeft"], does: "back", run: () => go(-1) },
  { keys: ["Shift+ArrowRight"], does: "10 on", run: () => go(10) },
  { keys: ["Shift+ArrowLeft"], does: "10 back", run: () => go(-10) },
  { keys: ["Home"], does: "first", run: () => go(-Infinity) },
  { keys: ["z"], does: "undo", run: () => undo(false) },
  { keys: ["Shift+z"], does: "redo", run: () => undo(true) },
  { keys: ["f"], does: "flag", run: flag },
  { keys: ["m"], does: "note", run: note },
  { keys: ["/"], does: "find a class by typing", run: () => findClass(classes, press) },
  ...classes.filter((one) => one.key).map((one) => ({ keys: [one.key], does: one.name, run: () => press(one.name), repeat: false })),
]);
for (const button of document.querySelectorAll("[data-key]")) {
  button.addEventListener("click", () => keys.entries.find((one) => one.keys.includes(button.dataset.key)).run());
}
at("confirm").addEventListener("click", confirmIt);
at("who").addEventListener("click", () => askName(() => {}));
at("score-now").addEventListener("click", () => start("/review/prelabel"));
at("retrain").addEventListener("submit", (event) => {
  event.preventDefault();
  start("/review/retrain");
});
at("review-filters").addEventListener("submit", (event) => event.preventDefault());
at("review-filters").addEventListener("change", () => load());
for (const button of at("kinds").children) {
  button.addEventListener("click", () => {
    state.kind = button.dataset.kind;
    for (const other of at("kinds").children) other.setAttribute("aria-pressed", String(other === button));
    load();
  });
}
// A button that was clicked gives the keys back: Enter confirms, whatever the mouse did before.
at("review-page").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button && event.detail > 0) button.blur();
});
for (const one of at("kinds").children) one.setAttribute("aria-pressed", String(one.dataset.kind === state.kind));
showWho(annotatorName());
let later;
listen({
  job: jobChanged,
  labels: () => {
    clearTimeout(later);
    later = setTimeout(() => showState().catch(() => null), 500);
  },
}, (again) => again && showState().catch(() => null));
load();
showState().catch((error) => say(error.message, { bad: true }));
