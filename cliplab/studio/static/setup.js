// The first screen of a folder: where the media is, and what the classes are.

import { api, listen, visible } from "/static/studio.js";

const at = (id) => document.getElementById(id);
const field = at("media");
const given = field.value; // the data folder as it is shown; unchanged, it is the data folder itself

at("setup-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const classes = at("class-names").value.split(/\n|,/).map((name) => name.trim()).filter(Boolean);
  at("begin").disabled = true;
  at("setup-state").className = "";
  at("setup-state").textContent = "looking through the folder…";
  try {
    await api("/setup", { media: field.value === given ? "" : field.value, classes });
    location.reload();
  } catch (error) {
    at("setup-state").className = "error";
    at("setup-state").textContent = visible(error.message);
    at("begin").disabled = false;
  }
});

// A large folder is still looked through: go on when that has ended, unless somebody is typing.
const reload = () => at("class-names").value === at("class-names").defaultValue && location.reload();
if (at("scanning")) listen({ items: reload }, (again) => again && reload());
