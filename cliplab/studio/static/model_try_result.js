// The scores of a video on the timeline that the Label page has too: a row of segments, and a row for each class.
import { api, say } from "./studio.js";
import { Timeline } from "./timeline.js";

const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999"];
const MOST_ROWS = 12;
const place = document.getElementById("try-timeline");

async function draw() {
  const { result } = await api(`/models/jobs/${place.dataset.job}/state`);
  const colour = (label) => COLOURS[Math.max(0, result.labels.indexOf(label)) % COLOURS.length];
  const duration = Math.max(...result.ends, 0.1);
  const host = document.createElement("div");
  place.append(host);
  const timeline = new Timeline(host, { duration, colorOf: colour, keyOf: (label) => label[0] ?? "", label: "Position in the video" });
  timeline.setRow({ id: "segments", name: "Segments", kind: "intervals", intervals: result.segments.map((part, index) => ({ id: String(index), ...part })) });
  const order = result.labels.map((label, index) => ({ label, index, best: Math.max(...result.scores.map((row) => row[index])) }));
  order.sort((a, b) => b.best - a.best);
  for (const { label, index } of order.slice(0, MOST_ROWS)) {
    timeline.setRow({
      id: `class-${index}`, name: label, kind: "scores", label, threshold: result.thresholds[label],
      times: result.starts.map((start, row) => (start + result.ends[row]) / 2), scores: result.scores.map((row) => row[index]),
    });
  }
  timeline.addEventListener("seek", ({ detail }) => {
    // Of windows that overlap, the one whose middle is nearest.
    let best = 0;
    const distance = (row) => Math.abs((result.starts[row] + result.ends[row]) / 2 - detail.time);
    for (let row = 1; row < result.starts.length; row += 1) if (distance(row) < distance(best)) best = row;
    document.getElementById("start").value = result.starts[best];
    document.getElementById("end").value = result.ends[best];
    timeline.setPlayhead?.(detail.time);
  });
}

draw().catch((error) => say(`the timeline cannot be drawn: ${error.message}`, { bad: true }));
