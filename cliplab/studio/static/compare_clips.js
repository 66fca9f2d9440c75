// The Compare page: an arrow stores which clip is better, and the next pair plays. One of both can be heard at a time.

import { annotatorName, api, hasPicture, keys, make, say, sayLoading, whyNot } from "/static/studio.js";
import { keep } from "/static/ratings_outbox.js";

const $ = (id) => document.getElementById(id);
let pairs = [];

async function next() {
  if (!pairs.length) {
    try {
      const found = await api("/compare/pairs");
      pairs = found.pairs;
      if (found.hidden) say(`${found.hidden} clips are left out: their files are missing, or outside this folder.`, { bad: true });
    } catch (error) {
      return say(`clips could not be loaded: ${error.message}`, { bad: true });
    }
  }
  $("empty").hidden = pairs.length > 0;
  $("pair").replaceChildren(...(pairs[0] ?? []).map((clip) => {
    const video = make("video", { controls: true, loop: true, autoplay: true, "aria-label": `Clip ${clip.filename}` });
    video.muted = true;
    video.addEventListener("volumechange", () => { if (!video.muted) for (const other of videos()) if (other !== video) other.muted = true; });
    video.addEventListener("error", () => explain(video, clip), { once: true });
    video.src = `/rate/clips/${clip.id}/media`;
    const figure = make("figure", {}, video, make("figcaption", {}, clip.filename));
    sayLoading(figure, hasPicture(video));
    return figure;
  }));
}

const videos = () => [...document.querySelectorAll("#pair video")];

/** In place of a clip that does not play: why. */
async function explain(video, clip) {
  const why = await whyNot(`/rate/clips/${clip.id}/media`);
  video.replaceWith(make("p", { role: "alert" }, `${clip.filename}: ${why}`));
}

/** Sound from the left clip, then from the right one, then from none. */
function hear() {
  const both = videos();
  const now = both.findIndex((video) => !video.muted);
  both.forEach((video) => { video.muted = true; });
  if (both[now + 1]) both[now + 1].muted = false;
}

function answer(better) {
  if (!pairs.length) return;
  const pair = pairs.shift();
  if (better !== null) {
    const [best, other] = [pair[better], pair[1 - better]];
    const seen = { better_created_at: best.created_at, worse_created_at: other.created_at };
    keep("/compare", { better: best.id, worse: other.id, ...seen, rater: annotatorName() ?? "local" });
    say(`${pair[better].filename} is better than ${pair[1 - better].filename}`);
  }
  next();
}

$("left").addEventListener("click", () => answer(0));
$("right").addEventListener("click", () => answer(1));
$("skip").addEventListener("click", () => answer(null));
keys.register([
  { keys: ["ArrowLeft"], does: "the left clip is better", repeat: false, run: () => answer(0) },
  { keys: ["ArrowRight"], does: "the right clip is better", repeat: false, run: () => answer(1) },
  { keys: ["ArrowDown"], does: "neither", repeat: false, run: () => answer(null) },
  { keys: ["ArrowUp"], does: "hear the left clip, the right one, none", repeat: false, run: hear },
]);
next();
