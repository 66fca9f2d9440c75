// Charts by uPlot: axes named with units, colours that everyone can tell apart, dashes so that colour is never alone.
import uPlot from "./vendor/uPlot.esm.js";
import { make } from "./studio.js";

const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#999999", "#f0e442"];
const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3], [], [6, 3], [2, 2], [8, 3, 2, 3]];
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const axis = (label) => ({
  label, stroke: css("--st-text"), grid: { stroke: css("--st-line"), width: 0.5 }, ticks: { stroke: css("--st-line") }, labelSize: 18, size: 44,
});
const style = (index) => ({ stroke: COLOURS[index % 8], dash: DASHES[index % 8], width: 2 });

function panel(place, title, words) {
  const body = make("div", { class: "chart", role: "img", "aria-label": words });
  place.append(make("section", { class: "panel" }, make("h2", {}, title), body));
  return body;
}
const HEIGHT = 260;
const widthOf = (body) => Math.max(260, Math.floor(body.clientWidth));

/** The chart follows the width of its panel, which changes with the window and with the panels beside it. */
function draw(options, columns, body) {
  const plot = new uPlot({ width: widthOf(body), height: HEIGHT, legend: { live: false }, ...options }, columns, body);
  new ResizeObserver(() => {
    if (plot.width !== widthOf(body)) plot.setSize({ width: widthOf(body), height: HEIGHT });
  }).observe(body);
  return plot;
}

/** Lines over one x axis. chart: {title, x, y, square, series: [{name, x: [...], y: [...], quiet}]}. */
export function lineChart(place, chart) {
  const body = panel(place, chart.title, `${chart.title}: ${chart.y} over ${chart.x}, for ${chart.series.map((one) => one.name).join(", ")}`);
  // uPlot wants one list of x: the union, where each series has its values and otherwise gaps that are spanned.
  const xs = [...new Set(chart.series.flatMap((one) => one.x))].sort((a, b) => a - b);
  const columns = chart.series.map((one) => {
    const at = new Map(one.x.map((x, index) => [x, one.y[index]]));
    return xs.map((x) => at.get(x) ?? null);
  });
  const series = chart.series.map((one, index) => ({
    label: one.name, spanGaps: true, ...(one.quiet ? { stroke: css("--st-quiet"), dash: [3, 3], width: 1 } : style(index)),
    points: { show: chart.points && !one.quiet, size: 7 },
  }));
  const unit = chart.square ? { x: { time: false, range: [0, 1] }, y: { range: [0, 1.02] } } : { x: { time: false } };
  return draw({ scales: unit, axes: [axis(chart.x), axis(chart.y)], series: [{ label: chart.x }, ...series] }, [xs, ...columns], body);
}

const EPOCH_KEYS = [["loss", "training loss", "loss"], ["val_loss", "validation loss", "loss"], ["accuracy", "training accuracy", "share"], ["val_accuracy", "validation accuracy", "share"]];
const epochColumns = (epochs) => [epochs.map((_, index) => index + 1), ...EPOCH_KEYS.map(([key]) => epochs.map((one) => one[key] ?? null))];

/** Losses and accuracies of each epoch; the answer has setEpochs(epochs) to draw more of them. */
export function epochChart(place, epochs) {
  const body = panel(place, "Epochs", "Losses and accuracies of each epoch");
  const series = EPOCH_KEYS.map(([, label, scale], index) => ({ label, scale, ...style(index), points: { show: epochs.length < 3, size: 5 } }));
  const plot = draw({
    scales: { x: { time: false }, loss: {}, share: { range: [0, 1.02] } },
    axes: [{ ...axis("epoch"), incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }, { ...axis("loss"), scale: "loss" }, { ...axis("accuracy, share of clips"), scale: "share", side: 1, grid: { show: false } }],
    series: [{ label: "epoch" }, ...series],
  }, epochColumns(epochs), body);
  return { setEpochs: (all) => plot.setData(epochColumns(all)) };
}
