// The Rate page: a key stores a rating here first, then sends it; the next clip plays at once.

import { api, hasPicture, keys, make, say, sayLoading, whyNot } from "/static/studio.js";
import { keep, ratings } from "/static/ratings_outbox.js";

const $ = (id) => document.getElementById(id);
const words = JSON.parse($("star-data").content.textContent);
const clips = [];
const given = []; // {clip, stars}: what Undo takes back, the latest last
let place = -1;

// Clips ---------------------------------------------------------------------------------------------------------------

async function load() {
  try {
    const found = await api(`/rate/next?limit=20&rater=${encodeURIComponent($("rater").value)}`);
    const known = new Set(clips.map((clip) => clip.id));
    const fresh = found.clips.filter((clip) => !known.has(clip.id) || clip.reason === "again");
    clips.push(...fresh);
    drawList();
    showState(found);
    if (place < 0 && clips.length) show(0);
    else if (!fresh.length && !found.hidden) say("You have rated all other clips.");
    api(`/rate/agreement`).then(showAgreement).catch(() => {}); // it is beside the clips, and waits for nothing
    const left = `${found.hidden} clips are left out: their files are missing, or outside this folder.`;
    if (found.hidden) say(left, { bad: true });
    if (place < 0) $("empty").textContent = found.hidden ? left : "You have rated all clips.";
  } catch (error) {
    say(`clips could not be loaded: ${error.message}`, { bad: true });
  }
}

const clock = (seconds) => `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

function drawList() {
  $("clips").replaceChildren(
    ...clips.map((clip, at) => make("option", { value: at, selected: at === place }, `${clip.stars ? "★".repeat(clip.stars) + " " : ""}${clock(clip.start_time)} ${clip.filename}`)),
  );
}

function show(at) {
  if (at < 0 || at >= clips.length) return;
  place = at;
  const clip = clips[at];
  const video = make("video", { controls: true, loop: true, autoplay: true, preload: "auto", "aria-label": `Clip ${clip.filename}` });
  video.muted = clip.clip_type === "video";
  video.src = `/rate/clips/${clip.id}/media`;
  video.addEventListener("error", () => explain(clip), { once: true });
  $("stage").replaceChildren(video);
  sayLoading($("stage"), hasPicture(video));
  video.play?.().catch(() => { video.muted = true; video.play().catch(() => {}); });
  $("name").textContent = clip.filename;
  // Not before the rating, which it would lead.
  const expected = clip.predicted === null || !clip.stars ? "" : ` · expected ${(1 + 4 * clip.predicted).toFixed(1)} stars`;
  const raised = !expected ? "" : clip.effects.map(([name, effect]) => `${name} ${effect > 0 ? "+" : "−"}${Math.abs(4 * effect).toFixed(1)}`).join(", ");
  $("facts").textContent = `${clock(clip.start_time)} to ${clock(clip.end_time)} · score ${clip.score.toFixed(2)}${expected}${raised ? ` (${raised})` : ""} · ${clip.reason}`;
  for (const input of document.querySelectorAll('input[name="stars"]')) input.checked = Number(input.value) === clip.stars;
  drawList();
  const next = clips[at + 1];
  if (next) make("video", { preload: "auto" }).src = `/rate/clips/${next.id}/media`;
  if (at >= clips.length - 5) load();
}

async function explain(clip) {
  const why = await whyNot(`/rate/clips/${clip.id}/media`);
  if (clips[place] === clip) $("stage").replaceChildren(make("p", { role: "alert" }, `${clip.filename}: ${why}`));
}

function rate(stars) {
  const clip = clips[place];
  if (!clip) return say("Load clips first.", { bad: true });
  given.push({ at: place, before: clip.stars ?? clip.own_stars }); // a clip that is shown again has stars already
  clip.stars = stars;
  keep("/rate", { clip: clip.id, created_at: clip.created_at, stars, rater: $("rater").value });
  say(`${clip.filename}: ${stars}, ${words[stars]}`);
  if (place + 1 < clips.length) show(place + 1);
  else show(place);
}

function undo() {
  const last = given.pop();
  if (!last) return say("There is nothing to undo.");
  const clip = clips[last.at];
  clip.stars = last.before;
  keep("/rate", { clip: clip.id, created_at: clip.created_at, stars: last.before, rater: $("rater").value });
  say(`${clip.filename}: ${last.before ? `${last.before}, ${words[last.before]}` : "rating removed"}`);
  show(last.at);
}

// Numbers and training ------------------------------------------------------------------------------------------------

function showState({ statistics, training }) {
  const { total_clips: total, rated_clips: rated, average_rating: average, rating_distribution: counts } = statistics;
  $("progress").textContent = `${rated} of ${total} rated`;
  $("statistics").textContent = `${rated} of ${total} clips rated${average === null ? "" : `, average ${average.toFixed(2)}`}; ${statistics.ratings} ratings by ${statistics.raters}`;
  $("distribution").replaceChildren(
    ...Object.entries(words).flatMap(([stars, word]) => [
      make("span", {}, `${stars} ${word}`),
      make("meter", { min: 0, max: Math.max(1, rated), value: counts[stars], "aria-label": `Clips with ${stars} stars` }),
      make("span", {}, String(counts[stars])),
    ]),
  );
  const missing = training.min_samples - training.rated_clips;
  const lines = [
    ...(training.error ? [`The last training failed: ${training.error}`] : []),
    ...training.said,
    training.training ? "Training now." : missing > 0 ? `${missing} more rated clips are needed.` : `${training.new_ratings} new ratings since the last training.`,
  ];
  $("training").replaceChildren(...lines.flatMap((line) => [line, make("br")]));
  const percent = (share) => `${Math.round(100 * share)}%`;
  $("history").replaceChildren(
    ...(training.history.length ? training.history.slice(-8).map((one) =>
      make("li", {}, `${one.clip_type}, ${one.clips} clips: ${percent(one.share)} in order (${percent(one.interval[0])} to ${percent(one.interval[1])})${one.serves ? ", in use" : one.takes_back ? ", taken back" : ""}`))
      : [make("li", {}, "No training yet.")]),
  );
  $("train").disabled = training.training || missing > 0;
  if (training.training) setTimeout(async () => showState(await api("/rate/state")), 1000);
}

function showAgreement({ alpha, interval, clips: shared, raters }) {
  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}`;
  const lines = alpha === null ? [] : [`All raters: alpha ${alpha.toFixed(2)} (95% ${interval[0].toFixed(2)} to ${interval[1].toFixed(2)}, ${shared} clips)`];
  for (const one of raters) {
    const facts = [
      one.above_others === null ? "" : `${signed(one.above_others)} stars beside others (${one.shared} clips)`,
      one.again ? `${one.again_near} of ${one.again} repeated ratings within a star` : "",
    ].filter(Boolean);
    if (facts.length) lines.push(`${one.rater}: ${facts.join("; ")}`);
  }
  $("agreement").replaceChildren(...(lines.length ? lines : ["No clip has two ratings yet."]).map((line) => make("li", {}, line)));
}

async function train() {
  try {
    showState(await api("/rate/train", {}));
  } catch (error) {
    say(`training did not start: ${error.message}`, { bad: true });
  }
}

// Controls ------------------------------------------------------------------------------------------------------------

$("load").addEventListener("click", load);
$("clips").addEventListener("change", (event) => show(Number(event.target.value)));
$("rating").addEventListener("submit", (event) => {
  event.preventDefault();
  const chosen = document.querySelector('input[name="stars"]:checked');
  if (chosen) rate(Number(chosen.value));
  else say("Choose 1 to 5 stars.", { bad: true });
});
$("back").addEventListener("click", () => show(place - 1));
$("skip").addEventListener("click", () => show(place + 1));
$("undo").addEventListener("click", undo);
$("train").addEventListener("click", train);
const player = () => document.querySelector("#stage video");
keys.register([
  ...Object.entries(words).map(([stars, word]) => ({ keys: [stars], does: `${word}, and continue`, run: () => rate(Number(stars)) })),
  { keys: ["ArrowRight"], does: "skip", run: () => show(place + 1) },
  { keys: ["ArrowLeft"], does: "back", run: () => show(place - 1) },
  { keys: ["z"], does: "undo", run: undo },
  { keys: ["Space"], does: "play, pause", run: () => (player()?.paused ? player().play() : player()?.pause()) },
]);
ratings.addEventListener("stored", ({ detail }) => detail.answer.statistics && showState(detail.answer));
load();
