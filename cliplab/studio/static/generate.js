// The Generate page: an analysis as a job, its highlights on a timeline whose edges can be dragged, and clips of them.

import { api, hasPicture, keys, listen, make, say, sayLoading, visible } from "/static/studio.js";
import { Timeline, clockText } from "/static/timeline.js";

const $ = (id) => document.getElementById(id);
const place = $("generate");
const COLORS = { audio: "#56b4e9", video: "#e69f00" }; // Okabe and Ito
const NUDGE = 0.5, LEAST = 0.2, SAME = 1e-6;
let report = null; // {id, duration, ...}
let candidates = []; // {number, kind, event, score, start, end, peak, taken}
let current = -1;
let work = null; // the job that is followed: {id, kind, report}
let dragged = null; // {one, side}
let player = null;

const timeline = new Timeline($("timeline"), { duration: 1, colorOf: (label) => COLORS[label.split(" ")[0]] ?? COLORS.video, label: "Moment of the source" });

// Work ----------------------------------------------------------------------------------------------------------------

function show(job) {
  const running = job.state === "running";
  $("work").hidden = $("stop").hidden = !running;
  $("analyze").disabled = running;
  $("make").disabled = running || !candidates.some((one) => one.taken);
  if (running && job.total) Object.assign($("work"), { max: job.total, value: job.done });
  else $("work").removeAttribute("value");
  const count = job.total ? `, ${job.done} of ${job.total}` : "";
  const words = { running: `${job.stopping ? "stopping" : job.stage || "starting"}${count}`, failed: job.error, stopped: "stopped", lost: job.error, done: "" };
  $("state").className = job.state === "failed" ? "error" : "";
  $("state").textContent = visible(words[job.state] ?? "");
}

async function follow(id, kind, of) {
  work = { id, kind, report: of };
  await refresh();
}

async function refresh() {
  if (!work) return;
  took(await api(`/models/jobs/${work.id}/state`));
}

async function took(job) {
  if (!work || job.id !== work.id) return;
  show(job);
  if (job.state === "running") return;
  const { kind, report: of } = work;
  work = null;
  if (job.state !== "done") return;
  if (kind === "detect") await open(of).catch((error) => say(error.message, { bad: true }));
  else finished(job.result ?? {});
}

async function analyze(event) {
  event.preventDefault();
  try {
    const body = { source: $("source").value, clip_seconds: Number($("clip-seconds").value), min_gap_seconds: Number($("min-gap-seconds").value) };
    const begun = await api("/generate/analyze", body);
    $("made").replaceChildren();
    await follow(begun.job, "detect", begun.report);
  } catch (error) {
    $("state").className = "error";
    $("state").textContent = visible(error.message);
  }
}

async function generate() {
  const clips = candidates.filter((one) => one.taken).map(({ number, start, end }) => ({ number, start, end }));
  try {
    const begun = await api("/generate/clips", { report: report.id, clips });
    await follow(begun.job, "generate", report.id);
  } catch (error) {
    say(error.message, { bad: true });
  }
}

function finished({ made = 0, kept = 0, failed = 0, problems = [] }) {
  const words = [`${made} clips written`, kept ? `${kept} were there` : "", failed ? `${failed} failed` : ""].filter(Boolean).join(", ");
  $("made").replaceChildren(
    `${words}. `, make("a", { href: "/rate" }, "View & Rate"), " · ", make("a", { href: "/browse" }, "Browse & Download"),
    ...problems.flatMap((text) => [make("br"), make("span", { class: "error" }, text)]),
  );
}

// A report ------------------------------------------------------------------------------------------------------------

async function open(id) {
  const found = await api(`/generate/reports/${id}`);
  report = { id, ...found };
  candidates = found.candidates.map((one, number) => ({ ...one, number, taken: true }));
  current = -1;
  $("progress").textContent = visible(`${found.source} · ${clockText(found.duration, 0)}`);
  $("state").textContent = visible(found.notes.join(". "));
  timeline.rows = [];
  timeline.setDuration(Math.max(found.duration, 1));
  const sound = found.sound?.peaks ? Int8Array.from(atob(found.sound.peaks), (sign) => sign.charCodeAt(0)) : null;
  timeline.setRow({ id: "sound", name: "Sound", kind: "wave", perSecond: found.sound?.per_second, peaks: sound, note: "no waveform" });
  draw();
  preview();
  if (candidates.length) choose(candidates.reduce((best, one, at) => (one.score > candidates[best].score ? at : best), 0));
  else $("empty")?.replaceChildren("No highlights were found. Try a shorter gap, or another source.");
}

function preview() {
  player = null;
  if (!report.playable) {
    $("stage").replaceChildren(make("p", { id: "empty" }, report.local ? "This browser cannot play the source, but its clips can be written." : "A stream has no preview. Clips can be played once they are written."));
    return;
  }
  player = make("video", { controls: true, preload: "metadata", "aria-label": `Source ${report.source}` });
  player.src = `/generate/reports/${report.id}/media`;
  player.addEventListener("loadedmetadata", () => { if (candidates[current]) player.currentTime = candidates[current].start; }, { once: true });
  player.addEventListener("timeupdate", () => {
    timeline.setPlayhead(player.currentTime, false);
    const one = candidates[current];
    if (one && player.dataset.until && player.currentTime >= Number(player.dataset.until)) {
      delete player.dataset.until;
      player.pause();
    }
  });
  player.addEventListener("error", () => $("stage").replaceChildren(make("p", { id: "empty", role: "alert" }, "This browser cannot play the source, but its clips can be written.")), { once: true });
  $("stage").replaceChildren(player);
  sayLoading($("stage"), hasPicture(player));
}

function draw() {
  for (const [kind, name] of [["audio", "Audio"], ["video", "Video"]]) {
    const intervals = candidates.filter((one) => one.kind === kind).map((one) => ({ id: one.number, label: `${kind} ${one.event}`, start: one.start, end: one.end }));
    timeline.setRow({ id: kind, name, kind: "intervals", intervals: intervals.sort((a, b) => a.start - b.start), editable: true });
  }
  timeline.select(candidates[current]?.number ?? null);
  const taken = candidates.filter((one) => one.taken).length;
  $("count").textContent = `${taken} of ${candidates.length} chosen`;
  $("make").disabled = !taken || work !== null;
  $("highlights").replaceChildren(
    ...candidates.map((one, at) => {
      const name = `${clockText(one.start, 1)} to ${clockText(one.end, 1)}`;
      const box = make("input", { type: "checkbox", "aria-label": `Take ${name}` });
      box.checked = one.taken;
      box.addEventListener("change", () => { one.taken = box.checked; draw(); });
      const row = make("li", at === current ? { "data-current": "" } : {}, box,
        make("button", { type: "button", onclick: () => { choose(at); play(); } }, make("span", {}, name), make("span", {}, `${one.kind} · ${one.event}`), make("span", {}, one.score.toFixed(2))));
      return row;
    }),
  );
  const one = candidates[current];
  $("selected").textContent = one ? visible(`${clockText(one.start, 1)} to ${clockText(one.end, 1)}, ${(one.end - one.start).toFixed(1)} s · ${one.kind}, ${one.event}, score ${one.score.toFixed(2)}${one.why ? ` · ${one.why}` : ""}`) : "";
}

function choose(at) {
  if (at < 0 || at >= candidates.length) return;
  current = at;
  const one = candidates[at];
  if (player && player.readyState) player.currentTime = one.start;
  timeline.setPlayhead(one.start);
  draw();
  $("highlights").children[at]?.scrollIntoView({ block: "nearest" });
}

function play() {
  const one = candidates[current];
  if (!player || !one) return;
  if (!player.paused) return player.pause();
  if (player.currentTime < one.start - SAME || player.currentTime >= one.end - 0.1) player.currentTime = one.start;
  player.dataset.until = one.end;
  player.play().catch(() => {});
}

function move(one, side, time) {
  const clean = Math.round(Math.min(Math.max(time, 0), report.duration) * 1000) / 1000;
  if (side === "start") one.start = Math.min(clean, one.end - LEAST);
  else one.end = Math.max(clean, one.start + LEAST);
}

timeline.addEventListener("select", ({ detail }) => choose(candidates.findIndex((one) => one.number === detail.id)));
timeline.addEventListener("seek", ({ detail }) => {
  timeline.setPlayhead(detail.time, false);
  if (player && player.readyState) player.currentTime = detail.time;
});
timeline.addEventListener("edge", ({ detail }) => {
  if (!dragged) {
    const near = (time) => Math.abs(time - detail.edge) < SAME;
    const one = candidates.find((each) => each.kind === detail.row && (near(each.start) || near(each.end)));
    if (!one) return;
    dragged = { one, side: near(one.start) ? "start" : "end" };
    current = candidates.indexOf(one);
  }
  move(dragged.one, dragged.side, detail.time);
  draw();
  if (detail.done) {
    say(`${clockText(dragged.one.start, 1)} to ${clockText(dragged.one.end, 1)}`);
    dragged = null;
  }
});

// Controls ------------------------------------------------------------------------------------------------------------

const take = (value) => { for (const one of candidates) one.taken = value; draw(); };
const nudge = (side, by) => { const one = candidates[current]; if (one) { move(one, side, one[side] + by); draw(); } };
$("source-form").addEventListener("submit", analyze);
$("stop").addEventListener("click", () => work && api(`/models/jobs/${work.id}/stop`, {}).then(refresh).catch((error) => say(error.message, { bad: true })));
$("make").addEventListener("click", generate);
$("all").addEventListener("click", () => take(true));
$("none").addEventListener("click", () => take(false));
keys.register([
  { keys: ["Space"], does: "play this highlight, pause", run: play },
  { keys: ["ArrowRight"], does: "next highlight", run: () => choose(current + 1) },
  { keys: ["ArrowLeft"], does: "highlight before", run: () => choose(current - 1) },
  { keys: ["x"], does: "select or deselect it", run: () => { const one = candidates[current]; if (one) { one.taken = !one.taken; draw(); } } },
  { keys: ["["], does: "begin half a second earlier", run: () => nudge("start", -NUDGE) },
  { keys: ["Shift+{", "{"], does: "begin half a second later", run: () => nudge("start", NUDGE) },
  { keys: ["]"], does: "end half a second later", run: () => nudge("end", NUDGE) },
  { keys: ["Shift+}", "}"], does: "end half a second earlier", run: () => nudge("end", -NUDGE) },
  { keys: ["+", "="], does: "more detail", run: () => timeline.zoom(1.5) },
  { keys: ["-"], does: "less detail", run: () => timeline.zoom(1 / 1.5) },
]);
const job = (event) => { if (work && event.id === work.id) (event.what === "state" ? refresh() : Promise.resolve(show(event))).catch(() => {}); };
listen({ job }, () => refresh().catch(() => {}));
const asked = new URLSearchParams(location.search).get("report");
if (asked) open(asked).catch((error) => say(error.message, { bad: true }));
else if (place.dataset.job) follow(place.dataset.job, "detect", place.dataset.report).catch(() => {});
else if (place.dataset.report) open(place.dataset.report).catch((error) => say(error.message, { bad: true }));
