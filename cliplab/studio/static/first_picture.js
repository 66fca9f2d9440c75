// Shows the picture that a person waits for while the page's other scripts and the list are still on their way. Where
// the server knew it, the page came with it.

import { annotatorName, lastItem, meta } from "/static/annotator_name.js";
import { pictureAddress } from "/static/item_picture.js";

const place = document.getElementById("stage");
// The server knows the first item for its own annotator, not for somebody who typed another name.
const first = (annotatorName() ?? "") === meta("annotator") ? Number(place.dataset.first) : 0;
const id = lastItem() ?? first;
const given = place.querySelector("img[data-item]");
if (id !== Number(given?.dataset.item ?? 0)) {
  const picture = new Image();
  Object.assign(picture, { decoding: "sync", draggable: false, fetchPriority: "high", alt: `item ${id}`, src: pictureAddress(id, place) });
  picture.dataset.item = id;
  place.replaceChildren(...(id ? [picture] : []));
}
