// The Browse page: one clip to download, and a reel of the clips that are taken, made as a job.

import { api, listen, make, visible } from "/static/studio.js";

const $ = (id) => document.getElementById(id);
let work = null; // {job, reel}

const taken = () => [...document.querySelectorAll('.take input[name="id"]:checked')].map((box) => Number(box.value));

function count() {
  const chosen = taken().length;
  $("taken").textContent = chosen === 1 ? "1 clip chosen" : `${chosen} clips chosen`;
  $("make-reel").disabled = !chosen || work !== null;
}

function chooseOne() {
  $("download-one").href = `/browse/clips/${$("one").value}/download`;
}

function show(text, bad = false) {
  $("reel-state").className = bad ? "error" : "";
  $("reel-state").textContent = visible(text);
}

function took(job) {
  if (!work || job.id !== work.job) return;
  const running = job.state === "running";
  $("reel-work").hidden = $("stop-reel").hidden = !running;
  if (running) {
    if (job.total) Object.assign($("reel-work"), { max: job.total, value: job.done });
    else $("reel-work").removeAttribute("value");
    show(job.stopping ? "stopping" : job.stage || "starting");
    return;
  }
  const reel = work.reel;
  work = null;
  count();
  if (job.state === "done") finished(reel, job.result ?? {});
  else show(job.state === "stopped" ? "stopped" : (job.error ?? "the reel could not be made"), job.state !== "stopped");
}

function finished(reel, { clips = 0, seconds = 0, problems = [] }) {
  $("reel-state").className = "";
  $("reel-state").replaceChildren(
    `A reel of ${clips} ${clips === 1 ? "clip" : "clips"}, ${seconds.toFixed(1)} s. `,
    make("a", { href: `/browse/reels/${reel}`, download: "reel.mp4" }, "Download the reel"),
    ...problems.flatMap((text) => [make("br"), make("span", { class: "error" }, text)]),
  );
}

async function begin() {
  const body = { clips: taken(), order: $("reel-order").value, transitions: $("reel-fade").checked };
  $("make-reel").disabled = true;
  show("starting");
  try {
    const begun = await api("/browse/reels", body);
    work = { job: begun.job, reel: begun.reel };
    await refresh();
  } catch (error) {
    work = null;
    count();
    show(error.message, true);
  }
}

async function refresh() {
  if (work) took(await api(`/models/jobs/${work.job}/state`));
}

document.addEventListener("change", (event) => { if (event.target.name === "id") count(); });
$("make-reel")?.addEventListener("click", begin);
$("stop-reel")?.addEventListener("click", () => work && api(`/models/jobs/${work.job}/stop`, {}).then(refresh).catch((error) => show(error.message, true)));
$("one")?.addEventListener("change", chooseOne);
if ($("make-reel")) {
  chooseOne();
  count();
  const job = (event) => {
    if (work && event.id === work.job) (event.what === "state" ? refresh() : Promise.resolve(took(event))).catch(() => {});
  };
  listen({ job }, () => refresh().catch(() => {}));
}
