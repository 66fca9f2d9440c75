// Try a video: a dropped file goes up with its progress, and the page of its job follows.
import { api, say, visible } from "./studio.js";

const form = document.getElementById("drop-form");
const drop = document.getElementById("drop");
const input = document.getElementById("file");
const error = document.getElementById("upload-error");
const progress = document.getElementById("upload-progress");

async function send(file) {
  error.textContent = "";
  progress.hidden = false;
  const body = new FormData();
  body.append("file", file);
  const values = new URLSearchParams({ window: document.getElementById("window").value, stride: document.getElementById("stride").value });
  const path = `${new URL(form.action).pathname}?${values}`;
  try {
    await api("/session");
    const response = await fetch(path, { method: "POST", body, headers: { "X-CSRF-Token": document.querySelector('meta[name="csrf"]').content } });
    if (!response.ok) throw new Error((await response.json().catch(() => ({}))).error ?? `the studio answered with status ${response.status}`);
    location.href = response.url;
  } catch (problem) {
    error.textContent = visible(problem.message);
    say("the video was not uploaded", { bad: true });
  } finally {
    progress.hidden = true;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (input.files.length) send(input.files[0]);
});
for (const name of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
  });
}
