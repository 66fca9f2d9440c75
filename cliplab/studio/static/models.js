// Charts of one model: epochs, reliability, precision over recall, ROC. Points come from its stored metrics.
import { api, say } from "./studio.js";
import { lineChart, epochChart } from "./model_charts.js";

const place = document.getElementById("charts");

async function draw() {
  const data = await api(place.dataset.from);
  if (data.epochs?.length) epochChart(place, data.epochs);
  const reliability = data.reliability;
  if (reliability?.score?.length) {
    lineChart(place, {
      title: "Reliability", x: "mean score of the clips", y: "share that is right", square: true, points: true,
      series: [{ name: "the model", x: reliability.score, y: reliability.share }, { name: "ideal", x: [0, 1], y: [0, 1], quiet: true }],
    });
  }
  const curves = Object.entries(data.precision_recall ?? {});
  if (curves.length) {
    lineChart(place, {
      title: "Precision over recall", x: "recall", y: "precision", square: true,
      series: curves.map(([name, points]) => ({ name, x: points.recall, y: points.precision })),
    });
  }
  const rocs = Object.entries(data.roc ?? {});
  if (rocs.length) {
    lineChart(place, {
      title: "ROC", x: "false positive rate", y: "true positive rate", square: true,
      series: [...rocs.map(([name, points]) => ({ name, x: points.false_positive_rate, y: points.true_positive_rate })), { name: "chance", x: [0, 1], y: [0, 1], quiet: true }],
    });
  }
}

if (place) draw().catch((error) => say(`the charts cannot be drawn: ${error.message}`, { bad: true }));
