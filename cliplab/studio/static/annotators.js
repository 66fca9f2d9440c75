// The Annotators page: figures that follow the work, the share that is labelled twice, and reservations.

import { annotatorName, api, listen, say } from "/static/studio.js";

const at = (id) => document.getElementById(id);

async function refresh() {
  const text = await api("/annotators/table");
  const parsed = new DOMParser().parseFromString(text, "text/html"); // from this server, which escapes all names
  at("figures").replaceChildren(...parsed.body.childNodes);
}

function onSubmit(form, send) {
  at(form).addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      say(await send());
      await refresh();
    } catch (error) {
      say(error.message, { bad: true });
    }
  });
}

onSubmit("overlap", async () => {
  const { percent } = await api("/annotators/overlap", { percent: Number(at("overlap-percent").value) });
  return `${percent}% of the items are labelled by two people`;
});
onSubmit("lease", async () => {
  const annotator = at("lease-name").value.trim(), count = Number(at("lease-count").value);
  const { items } = await api("/annotators/lease", { annotator, count, minutes: Number(at("lease-minutes").value) });
  return items.length ? `${items.length.toLocaleString("en")} items reserved for ${annotator}` : `nothing is reserved for ${annotator}`;
});
at("lease-name").value = annotatorName() ?? "";
let later;
listen({
  labels: () => {
    clearTimeout(later);
    later = setTimeout(() => refresh().catch(() => null), 2000);
  },
}, (again) => again && refresh().catch(() => null));
