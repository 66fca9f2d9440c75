// The Compare page: an arrow stores which clip is better, and the next pair plays.

import { annotatorName, api, hasPicture, keys, make, say, sayLoading } from "/static/studio.js";
import { keep } from "/static/ratings_outbox.js";

const $ = (id) => document.getElementById(id);
let pairs = [];

async function next() {
  if (!pairs.length) {
    try {
      ({ pairs } = await api("/compare/pairs"));
    } catch (error) {
      return say(`clips could not be loaded: ${error.message}`, { bad: true });
    }
  }
  $("empty").hidden = pairs.length > 0;
  $("pair").replaceChildren(...(pairs[0] ?? []).map((clip) => {
    const video = make("video", { controls: true, loop: true, autoplay: true, "aria-label": `Clip ${clip.filename}` });
    video.muted = true;
    video.src = `/rate/clips/${clip.id}/media`;
    const figure = make("figure", {}, video, make("figcaption", {}, clip.filename));
    sayLoading(figure, hasPicture(video));
    return figure;
  }));
}

function answer(better) {
  if (!pairs.length) return;
  const pair = pairs.shift();
  if (better !== null) {
    keep("/compare", { better: pair[better].id, worse: pair[1 - better].id, rater: annotatorName() ?? "local" });
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
]);
next();
