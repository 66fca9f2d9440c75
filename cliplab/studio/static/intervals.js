// The Label page of a video: intervals painted by holding a key, exact to the frame.

import { annotatorName, api, keys, listen, make, outbox, say, setAnnotatorName, visible } from "/static/studio.js";
import { Intervals, eventOf } from "/static/interval_model.js";
import { drawScores, offerScores } from "/static/video_scores.js";
import { Player, RATES } from "/static/player.js";
import { Timeline, clockText } from "/static/timeline.js";

const TAP_MILLISECONDS = 220; // a key that is let go sooner was tapped, not held
const LISTED = 60, LIST_MILLISECONDS = 80; // rows of the list: those around the playhead
const COLORS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999"];

const page = document.getElementById("intervals");
const item = Number(page.dataset.item);
const annotator = () => annotatorName() ?? "";

const player = new Player(document.getElementById("stage"), item);
const mine = new Intervals();
let classes = [], others = {}, selected = null, painting = null, points = { in: null, out: null }, cuts = [];
const done = [], undone = []; // actions: {says, changes, sent: [{client, sequence}]}

const classOf = (name) => classes.find((one) => one.name === name);
const colorOf = (name) => COLORS[(classOf(name)?.index ?? 7) % 8];
const keyOf = (name) => classOf(name)?.key ?? "";
const timeline = new Timeline(document.getElementById("timeline"), { colorOf, keyOf, label: "Playhead" });

// -- what the page shows ---------------------------------------------------------------------------------------------

const shownIntervals = { id: "labels", name: "Labels", kind: "intervals", editable: true };

function redrawIntervals() {
  timeline.setRow({ ...shownIntervals, intervals: mine.sorted });
  for (const row of timeline.rows.filter((one) => one.id.startsWith("of:") && !(one.id.slice(3) in others))) timeline.removeRow(row.id);
  drawList();
}

function drawOthers() {
  for (const [name, intervals] of Object.entries(others)) {
    timeline.setRow({ id: `of:${name}`, name: visible(name), kind: "intervals", intervals, editable: false, height: 22 });
  }
}

const list = document.getElementById("interval-list");
const count = document.getElementById("interval-count");
let listAsked = 0;

/** The intervals around the playhead, as text: what a screen reader reads, and where one is chosen by Tab and Enter. */
function drawList() {
  // After the timeline, which the eye is on: many elements take longer than a frame.
  clearTimeout(listAsked);
  listAsked = setTimeout(() => {
    const middle = mine.placeAt(player.time), from = Math.max(0, Math.min(middle - LISTED / 2, mine.size - LISTED));
    const rows = mine.sorted.slice(from, from + LISTED).map((one, place) => rowOf(one, from + place));
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    list.replaceChildren(...rows);
    if (focused) list.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    const hidden = mine.size - rows.length;
    count.textContent = `${mine.size.toLocaleString("en")} interval${mine.size === 1 ? "" : "s"}${hidden ? ` · ${rows.length} around the playhead are listed` : ""}`;
  }, LIST_MILLISECONDS);
}

function rowOf(one, place) {
  const label = classOf(one.label);
  const button = make(
    "button",
    { type: "button", class: "interval", "data-id": one.id, "aria-current": one.id === selected ? "true" : false, onclick: () => choose(one.id) },
    make("span", { class: `chip c${(label?.index ?? 7) % 8}` }, make("b", { "aria-hidden": "true" }, label?.key || "·"), one.label),
    make("span", { class: "when" }, `${clockText(one.start)} to ${clockText(one.end)}`),
  );
  return make("li", { "aria-setsize": String(mine.size), "aria-posinset": String(place + 1) }, button);
}

function choose(id, seek = true) {
  selected = id;
  timeline.select(id);
  const one = mine.byId.get(id);
  if (one && seek) player.seek(one.start);
  if (player.loop && one) player.loop = { start: one.start, end: one.end };
  drawList();
}

const clock = document.getElementById("clock"), speed = document.getElementById("speed"), playButton = document.getElementById("play");
const source = document.getElementById("source"), paintingPlace = document.getElementById("painting"), loopButton = document.getElementById("loop");

function drawTime() {
  clock.textContent = `${clockText(player.time)} / ${clockText(player.duration ?? 0)}`;
  timeline.setPlayhead(player.time);
  if (painting) drawPainting();
}

function drawState() {
  playButton.textContent = player.playing ? "Pause" : "Play";
  playButton.setAttribute("aria-pressed", String(player.playing));
  speed.textContent = `${player.rate < 0 ? "backwards " : ""}${Math.abs(player.rate)}×`;
  loopButton.setAttribute("aria-pressed", String(player.loop !== null));
  source.textContent = player.fromFrames ? "The browser cannot play this file: it is shown as decoded frames, without sound." : "";
}

function drawPainting() {
  timeline.painting = painting && { label: painting.label, start: painting.start, end: player.time };
  timeline.redraw();
  paintingPlace.textContent = painting ? `painting ${painting.label} from ${clockText(painting.start)}` : "";
  for (const button of document.querySelectorAll("#classes button")) button.setAttribute("aria-pressed", String(painting?.label === button.dataset.label));
}

// -- actions ---------------------------------------------------------------------------------------------------------

/** Do changes, store them, and say so. */
function act(changes, says) {
  if (!changes.length) return;
  if (!annotatorName()) { askName(() => act(changes, says)); return; }
  mine.apply(changes);
  done.push({ says, changes, sent: changes.map((change) => store(eventOf(item, change), change.id)) });
  undone.length = 0;
  shown(says);
}

let version = 0; // of what this page did: an answer that was asked for before is of an earlier state

/** Put an event into the outbox; with what its interval is afterwards, for a page that is loaded before it is sent. */
function store(event, id) {
  version += 1;
  return outbox.put(annotator(), item, event.action, event.value, { id, interval: mine.byId.get(id) ?? null });
}

function shown(says) {
  if (selected && !mine.byId.has(selected)) choose(null, false);
  redrawIntervals();
  say(says);
}

function takeBack() {
  if (painting) { dropAll(); say("painting dropped"); return; }
  const action = done.pop();
  if (!action) { say("nothing to undo"); return; }
  mine.revert(action.changes);
  for (const place of [...action.sent.keys()].reverse()) store({ action: "undo", value: action.sent[place] }, action.changes[place].id);
  undone.push(action);
  shown(`undone: ${action.says}`);
}

function doAgain() {
  const action = undone.pop();
  if (!action) { say("nothing to redo"); return; }
  mine.apply(action.changes);
  for (const [place, sent] of action.sent.entries()) store({ action: "redo", value: sent }, action.changes[place].id);
  done.push(action);
  shown(`done again: ${action.says}`);
}

/** Ask who labels, once, and go on with what was begun. */
function askName(then) {
  const dialog = document.getElementById("who-dialog"), name = document.getElementById("who-name");
  document.getElementById("who-form").onsubmit = () => { if (name.value.trim()) { setAnnotatorName(name.value.trim()); then(); } };
  dialog.showModal();
  name.focus();
}

const span = (label, start, end) => `${label}, ${clockText(start)} to ${clockText(end)}`;

/** Label from one frame up to another; at least one frame. */
async function paint(label, from, to) {
  let start = Math.min(from, to), end = Math.max(from, to);
  if (end - start < 1e-6) end = await frameAfter(start);
  act(mine.paint(label, start, end), span(label, start, end));
}

/** When the frame after that of a moment begins; of the last frame, when it ends. */
async function frameAfter(time) {
  const next = await player.times.around(time, 1);
  return next > time + 1e-6 ? next : player.duration;
}

function startPainting(label) {
  painting = { label, start: player.time };
  drawPainting();
}

/** The end of what is painted is the frame on screen, or the end of the video when its last frame is. */
async function stopPainting() {
  if (!painting) return;
  const { label, start } = painting, end = player.time;
  painting = null;
  drawPainting();
  await paint(label, start, end);
}

const held = new Map(); // class key -> when it went down, and whether that started its painting

function classDown(one, event) {
  if (event?.repeat) return;
  if (points.in !== null && points.out !== null) {
    const { in: from, out: to } = points;
    setPoints(null, null);
    paint(one.name, from, to);
    return;
  }
  const stays = Boolean(event?.altKey);
  if (painting) {
    const same = painting.label === one.name;
    stopPainting();
    if (same) return;
    startPainting(one.name);
  } else if (!player.playing) {
    const here = mine.at(player.time);
    if (here) { toggleLabel(here, one.name); return; }
    startPainting(one.name);
    say(`painting ${one.name} from here: play or step forward, then press ${one.key.toUpperCase()} again`);
    return;
  } else startPainting(one.name);
  if (!stays) held.set(one.name, event?.timeStamp ?? performance.now());
}

function classUp(one, event) {
  const since = held.get(one.name);
  held.delete(one.name);
  if (since === undefined || event.timeStamp - since < TAP_MILLISECONDS) return; // tapped: it goes on until the next tap
  if (painting?.label === one.name) stopPainting();
}

function toggleLabel(one, label) {
  selected = one.id;
  timeline.select(one.id);
  if (one.label === label) act(mine.remove(one.id), `removed: ${span(one.label, one.start, one.end)}`);
  else act(mine.relabel(one.id, label), `${span(label, one.start, one.end)} (was ${one.label})`);
}

function removeSelected() {
  const one = mine.byId.get(selected) ?? mine.at(player.time);
  if (!one) { say("no interval is selected, and there is none at the playhead"); return; }
  act(mine.remove(one.id), `removed: ${span(one.label, one.start, one.end)}`);
}

/** Move the nearest edge by a frame; of two that touch, both. The playhead goes along, so that its frame is seen. */
async function nudge(count) {
  const edge = mine.nearestEdge(player.time);
  if (edge === null) { say("there is no interval whose edge could move"); return; }
  let to;
  if (edge >= player.duration - 1e-6) to = count < 0 ? await player.times.around(player.duration, 0) : edge;
  else {
    to = await player.times.around(edge, count);
    if (count > 0 && to <= edge + 1e-6) to = player.duration;
  }
  moveEdge(edge, to);
}

function moveEdge(edge, to) {
  const least = 0.5 / (player.info.fps || 25);
  const { changes, to: moved } = mine.moveEdge(edge, to, least, player.duration);
  act(changes, `edge ${clockText(edge)} to ${clockText(moved)}${changes.length > 1 ? ", of both intervals" : ""}`);
  if (!changes.length) say("the edge cannot move further: another edge is there");
  if (!player.playing) player.seek(moved);
}

function setPoints(from, to) {
  points = { in: from, out: to };
  timeline.points = points;
  timeline.redraw();
}

async function setPoint(which) {
  const time = which === "in" ? player.time : await frameAfter(player.time); // the frame on screen belongs to it
  const next = { ...points, [which]: time };
  if (next.in !== null && next.out !== null && next.in >= next.out) next[which === "in" ? "out" : "in"] = null;
  setPoints(next.in, next.out);
  say(`${which} ${clockText(time)}${next.in !== null && next.out !== null ? ": press a class key to label it" : ""}`);
}

let cutSearch = 0;

/** Minute by minute, until there is a cut; moving on or Esc ends it. */
async function toNextCut() {
  const search = ++cutSearch, from = player.time;
  let after = from;
  say("looking for the next cut");
  while (search === cutSearch && Math.abs(player.time - from) < 1e-6) {
    const { cut, searched_to: to } = await api(`/items/${item}/cut?after=${after}`);
    if (search !== cutSearch || Math.abs(player.time - from) > 1e-6) return;
    if (cut !== null) {
      if (!cuts.includes(cut)) cuts = [...cuts, cut].sort((a, b) => a - b);
      timeline.setRow({ id: "cuts", name: "Cuts", kind: "marks", times: cuts });
      await player.seek(cut);
      say(`cut at ${clockText(cut)}`);
      return;
    }
    if (to >= player.duration) { say("no cut after this one"); return; }
    after = to - 1e-3; // a cut at the very place is after this
    say(`no cut up to ${clockText(to, 0)}; still searching (Esc stops it)`);
  }
}

function toEdge(direction) {
  const edge = mine.nextEdge(player.time, direction);
  if (edge === null) { say(direction > 0 ? "no edge after this" : "no edge before this"); return; }
  player.seek(edge);
  const here = mine.at(edge);
  if (here) choose(here.id, false);
}

function setRate(rate) {
  player.setRate(rate);
  say(`speed ${Math.abs(rate)}×`);
}

function faster(direction) {
  const now = Math.abs(player.rate), place = RATES.findIndex((rate) => rate >= now - 1e-9);
  setRate(RATES[Math.min(Math.max(place + direction, 0), RATES.length - 1)]);
}

function shuttle(direction) {
  // L and J as editors know them: each press twice as fast; the other direction begins at 1.
  const same = player.playing && Math.sign(player.rate) === direction;
  player.play(direction * (same ? Math.min(Math.abs(player.rate) * 2, 16) : 1));
}

function toggleLoop() {
  const one = mine.byId.get(selected) ?? mine.at(player.time);
  if (player.loop) player.loop = null;
  else if (points.in !== null && points.out !== null) player.loop = { start: points.in, end: points.out };
  else if (one) player.loop = { start: one.start, end: one.end };
  else { say("select an interval first, or set I and O"); return; }
  if (player.loop && (player.time < player.loop.start || player.time >= player.loop.end)) player.seek(player.loop.start);
  say(player.loop ? `loop ${clockText(player.loop.start)} to ${clockText(player.loop.end)}` : "loop off");
  drawState();
}

async function toItem(want) {
  try {
    const { item: next } = await api(`/next?want=${want}&after=${item}&as=${encodeURIComponent(annotator())}`);
    if (next === null || next === item) say("no other item");
    else location.assign(`/label?item=${next}`);
  } catch (error) { say(error.message, { bad: true }); }
}

// -- keys ------------------------------------------------------------------------------------------------------------

const move = (seconds) => () => player.seek(player.time + seconds);
keys.register([
  { keys: ["Space"], does: "play, pause", run: () => player.toggle(), repeat: false },
  { keys: ["j"], does: "play backwards, again: faster", run: () => shuttle(-1), repeat: false },
  { keys: ["k"], does: "stop", run: () => player.pause() },
  { keys: ["l"], does: "play, again: faster", run: () => shuttle(1), repeat: false },
  { keys: [","], does: "one frame back", run: () => player.step(-1) },
  { keys: ["."], does: "one frame forward", run: () => player.step(1) },
  { keys: ["ArrowLeft"], does: "one second back", run: move(-1) },
  { keys: ["ArrowRight"], does: "one second forward", run: move(1) },
  { keys: ["Shift+ArrowLeft"], does: "ten seconds back", run: move(-10) },
  { keys: ["Shift+ArrowRight"], does: "ten seconds forward", run: move(10) },
  { keys: ["Home"], does: "to the start", run: () => player.seek(0) },
  { keys: ["End"], does: "to the end", run: () => player.seek(player.duration) },
  { keys: ["i"], does: "in point", run: () => setPoint("in") },
  { keys: ["o"], does: "out point, then a class key labels the range", run: () => setPoint("out") },
  { keys: ["["], does: "the nearest edge one frame earlier", run: () => nudge(-1) },
  { keys: ["]"], does: "the nearest edge one frame later", run: () => nudge(1) },
  { keys: ["n"], does: "to the next cut", run: toNextCut, repeat: false },
  { keys: ["ArrowUp"], does: "to the previous edge", run: () => toEdge(-1) },
  { keys: ["ArrowDown"], does: "to the next edge", run: () => toEdge(1) },
  { keys: ["Delete", "Backspace"], does: "remove the selected interval", run: removeSelected },
  { keys: ["z"], does: "undo", run: takeBack },
  { keys: ["Shift+z"], does: "redo", run: doAgain },
  { keys: ["Shift+l"], does: "turn looping of the interval on or off", run: toggleLoop },
  { keys: ["-"], does: "slower", run: () => faster(-1) },
  { keys: ["=", "+"], does: "faster", run: () => faster(1) },
  { keys: ["Shift+ArrowUp"], does: "zoom in", run: () => timeline.zoom(2) },
  { keys: ["Shift+ArrowDown"], does: "zoom out", run: () => timeline.zoom(0.5) },
  { keys: ["u"], does: "next unlabelled item", run: () => toItem("unlabelled") },
  { keys: ["x"], does: "next uncertain item", run: () => toItem("uncertain") },
  { keys: ["Escape"], does: "cancel painting, and clear the in and out points", run: dropAll },
]);

function dropAll() {
  cutSearch += 1;
  painting = null;
  held.clear();
  setPoints(null, null);
  drawPainting();
}

function registerClasses() {
  // Alt changes what a key types on some keyboards: the physical key is looked at too.
  keys.replace("classes", classes.filter((one) => one.key).flatMap((one) => [
    { keys: [one.key], does: `${one.name}: hold it to paint while it plays, tap it to begin and to end`, run: (event) => classDown(one, event), up: (event) => classUp(one, event), repeat: false },
    { keys: [`Alt+${one.key}`], does: "", run: (event) => classDown(one, event), up: (event) => classUp(one, event), repeat: false },
  ]));
  document.getElementById("classes").replaceChildren(...classes.map((one) => make(
    "button",
    { type: "button", class: `quiet class-button c${one.index % 8}`, "data-label": one.name, "aria-pressed": "false", onclick: (event) => { classDown(one, { altKey: true, repeat: false }); event.currentTarget.blur(); } },
    make("b", { class: "key-letter", "aria-hidden": "true" }, one.key || "·"), " ", one.name,
  )));
}

// A key that goes up while another window has the focus is never seen: nothing may be painted on without a hand.
addEventListener("blur", () => { if (held.size) { held.clear(); stopPainting(); } });

playButton.addEventListener("click", () => player.toggle());
loopButton.addEventListener("click", toggleLoop);
document.getElementById("slower").addEventListener("click", () => faster(-1));
document.getElementById("faster").addEventListener("click", () => faster(1));
document.getElementById("zoom-in").addEventListener("click", () => timeline.zoom(2));
document.getElementById("zoom-out").addEventListener("click", () => timeline.zoom(0.5));

timeline.addEventListener("seek", (event) => player.seek(event.detail.time));
timeline.addEventListener("select", (event) => { if (event.detail.row === "labels") choose(event.detail.id, false); });
timeline.addEventListener("edge", async (event) => {
  const { edge, time, done: dropped } = event.detail;
  await player.times.load(time).catch(() => {});
  const exact = time >= player.duration - 1e-3 ? player.duration : (player.times.at(time) ?? time);
  const { changes } = mine.moveEdge(edge, exact, 0.5 / (player.info?.fps || 25), player.duration);
  if (dropped) { moveEdge(edge, exact); return; }
  // Shown where it would be, and not changed before it is dropped.
  mine.apply(changes);
  timeline.setRow({ ...shownIntervals, intervals: mine.sorted });
  mine.revert(changes);
  if (!player.playing) player.seek(exact);
});
player.addEventListener("time", drawTime);
player.addEventListener("state", drawState);
player.addEventListener("ended", () => { if (painting) { player.time = player.duration; stopPainting(); } });

// -- loading ---------------------------------------------------------------------------------------------------------

/** What the studio has, and over it what is still on its way there. */
async function load() {
  let answer, pending, before;
  do {
    before = version;
    pending = await outbox.pending().catch(() => []);
    answer = await api(`/items/${item}/intervals?as=${encodeURIComponent(annotator())}`);
  } while (before !== version);
  mine.replaceAll(answer.mine);
  for (const event of pending) {
    if (event.item === item && event.annotator === annotator() && event.local?.id) mine.set(event.local.id, event.local.interval);
  }
  classes = answer.classes.map((one, index) => ({ ...one, index }));
  others = answer.others;
  registerClasses();
  redrawIntervals();
  drawOthers();
  drawScores(timeline, answer.scores, colorOf);
  document.getElementById("notice").textContent = answer.notice;
}

async function loadSound() {
  timeline.setRow({ id: "sound", name: "Sound", kind: "wave", note: "reading the sound" });
  try {
    const answer = await api(`/items/${item}/peaks?per_second=20`);
    const bytes = Uint8Array.from(atob(answer.peaks), (mark) => mark.charCodeAt(0));
    const peaks = answer.sound ? new Int8Array(bytes.buffer) : null;
    timeline.setRow({ id: "sound", name: "Sound", kind: "wave", perSecond: answer.per_second, peaks, note: answer.reason ?? "" });
  } catch (error) {
    timeline.setRow({ id: "sound", name: "Sound", kind: "wave", note: error.message });
  }
}

listen({
  job: offerScores(item, () => load().catch(() => {})),
  labels: (data) => { if (data.items?.includes(item) && data.annotators?.some((name) => name !== annotator())) load().catch(() => {}); },
}, (again) => again && load().catch(() => {}));

// What fails in the middle of an action is said where actions are; labels that were made before it are kept.
addEventListener("unhandledrejection", (event) => {
  const offline = event.reason instanceof TypeError;
  say(offline ? "the studio does not respond; your labels are kept" : (event.reason?.message ?? String(event.reason)), { bad: true });
  if (!offline) event.preventDefault();
});

async function start() {
  await player.open();
  timeline.setDuration(player.duration ?? 0);
  try { await load(); } catch (error) { say(error.message, { bad: true }); }
  drawTime();
  drawState();
  page.dataset.ready = "true";
  await loadSound();
}

// What tests and the benchmark look at; pages do not use it.
globalThis.intervalsPage = { player, mine, timeline, nudge, moveEdge, paint, done, redrawIntervals };
start();
