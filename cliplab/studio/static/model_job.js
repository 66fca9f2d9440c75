// The page of a job: its progress and epochs as they come; the result's page once it ends.
import { api, listen, say, visible } from "./studio.js";
import { epochChart } from "./model_charts.js";

const place = document.getElementById("job");
const id = place.dataset.job;
const charts = document.getElementById("job-charts");
const log = document.getElementById("job-log");
let epochs = [];
let chart = null;

function drawEpochs() {
  if (!epochs.length) return;
  if (chart) chart.setEpochs(epochs);
  else chart = epochChart(charts, epochs);
}

function showStage(job) {
  const state = document.getElementById("job-state");
  const progress = document.getElementById("job-progress");
  const count = job.total ? `, ${job.done} of ${job.total}` : "";
  state.textContent = visible(`${job.stopping ? "stopping" : job.state}${job.stage ? `: ${job.stage}${count}` : ""}`);
  if (progress && job.total) {
    progress.max = job.total;
    progress.value = job.done;
  } else progress?.removeAttribute("value");
}

/** All of the job: after the page was opened, and after the stream was cut. */
async function refresh() {
  const job = await api(`/models/jobs/${id}/state`);
  epochs = job.epochs;
  drawEpochs();
  if (job.state !== place.dataset.state) location.reload();
  else if (job.state === "running") {
    showStage(job);
    log.textContent = job.lines.map(visible).join("\n");
  }
}

refresh().catch((error) => say(error.message, { bad: true }));
if (place.dataset.state === "running") {
  const follow = {
    job(event) {
      if (event.id !== id) return;
      if (event.what === "epoch") {
        epochs.push(event.epoch);
        drawEpochs();
      } else if (event.what === "line") log.textContent += `${visible(event.line)}\n`;
      else if (event.what === "state" && event.state !== "running") location.reload();
      showStage(event);
    },
  };
  listen(follow, () => refresh().catch(() => {}));
}
