// What models say of a video over time: rows below the intervals, and the button that computes them.

import { api, say, visible } from "/static/studio.js";

const SCORE_ROW_PIXELS = 26;

/** Replace the rows of models by these: {"ad, by ads_v2": {label, times, scores, threshold}}. */
export function drawScores(timeline, scores, colorOf) {
  for (const row of timeline.rows.filter((one) => one.id.startsWith("model:"))) timeline.removeRow(row.id);
  for (const [name, { threshold, label, ...row }] of Object.entries(scores)) {
    timeline.setRow({
      id: `model:${name}`, name: visible(name), kind: "scores", height: SCORE_ROW_PIXELS, color: colorOf(label),
      threshold: threshold ?? undefined, ...row,
    });
  }
}

/** Offer the models that can score this video. Returns what listens to jobs; done() is called once there are scores. */
export function offerScores(item, done) {
  const choice = document.getElementById("score-model"), button = document.getElementById("score-video");
  const state = document.getElementById("score-state");
  let running = null;
  const ended = () => { running = null; button.disabled = false; };

  api("/video-scores/models").then(({ models, none }) => {
    choice.replaceChildren(...models.map((one) => new Option(visible(one.name), one.id)));
    choice.hidden = models.length < 2;
    button.hidden = !models.length;
    if (models.length === 1) button.textContent = `Score over time by ${visible(models[0].name)}`;
    state.textContent = none;
  }, () => {}); // without an answer the rest of the page works, and says that it is offline

  const follow = (job) => {
    if (job.id !== running) return;
    if (job.state === "running") state.textContent = visible(`scoring: ${job.stage || "opening the model"}`);
    else if (job.state === "done") { ended(); state.textContent = ""; say("the model's scores are below the intervals"); done(); }
    else { ended(); state.textContent = visible(`not scored: ${job.error ?? job.state}`); }
  };

  button.addEventListener("click", async () => {
    button.disabled = true;
    state.textContent = "scoring: opening the model";
    try {
      ({ job: running } = await api(`/items/${item}/video-scores`, { model: choice.value }));
      follow(await api(`/models/jobs/${running}/state`)); // it may have ended before this page knew its number
    } catch (error) {
      ended();
      state.textContent = `not scored: ${error instanceof TypeError ? "the studio does not respond" : visible(error.message)}`;
    }
  });
  return follow;
}
