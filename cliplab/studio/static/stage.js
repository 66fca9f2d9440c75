// The picture in the middle: frames are decoded five ahead, so that the next is on screen before the key is up.

import { pictureAddress, pictureHeight } from "/static/item_picture.js";
import { make, sayLoading } from "/static/studio.js";

const AHEAD = 5, BEHIND = 2;

export class Stage {
  /** place: the element that shows one item. */
  constructor(place) {
    this.place = place;
    this.ready = new Map(); // id -> {node, decoded}
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.adopt();
  }

  /** Take over the picture with which the page came, or which first_picture.js put here. */
  adopt() {
    const node = this.place.querySelector("img[data-item]");
    if (!node) return;
    const id = Number(node.dataset.item), source = node.getAttribute("src");
    const entry = { node, source, height: Number(new URLSearchParams(source.split("?")[1]).get("h")) };
    entry.decoded = node.decode().catch(() => this.failed(id, entry.source, entry));
    this.ready.set(id, entry);
    this.current = id;
  }

  /** Show an item; resolves when its picture is decoded. neighbours: the numbers of items that may come next. */
  show(id, row, neighbours) {
    this.current = id;
    const entry = this.prepare(id);
    const node = row && row.kind !== "frame" ? this.player(id, row, entry) : entry.node;
    this.put(id, node, entry);
    sayLoading(this.place, entry.decoded);
    entry.node.alt = row ? row.name : `item ${id}`;
    const keep = new Set([id, ...neighbours]);
    for (const [other] of this.ready) if (!keep.has(other)) this.ready.delete(other);
    const ahead = () => { if (this.current === id) neighbours.forEach((one) => this.prepare(one)); };
    // The first picture of a page comes before all others, which would take the studio's time from it.
    if (this.begun) ahead();
    else entry.decoded.then(() => (ahead(), this.begun = true));
    return entry.decoded;
  }

  /** A smaller picture of the same item, with which the page came, stays until the one of the right size is there. */
  put(id, node, entry) {
    const before = this.place.firstChild;
    if (before === node) return;
    if (before?.dataset?.item !== String(id) || entry.node.complete) this.place.replaceChildren(node);
    else entry.decoded.then(() => this.place.firstChild === before && this.current === id && this.place.replaceChildren(node));
  }

  /** The items around a place that are to be decoded. */
  static around(index, length) {
    const wanted = [];
    for (let step = 1; step <= AHEAD; step++) if (index + step < length) wanted.push(index + step);
    for (let step = 1; step <= BEHIND; step++) if (index - step >= 0) wanted.push(index - step);
    return wanted;
  }

  prepare(id) {
    const height = pictureHeight(this.place), source = pictureAddress(id, this.place);
    let entry = this.ready.get(id);
    if (entry?.height >= height) return entry;
    const node = new Image();
    node.decoding = "sync"; // it is decoded already when it is shown
    node.draggable = false;
    if (!this.begun) node.fetchPriority = "high";
    node.src = source;
    entry = { node, source, height, decoded: node.decode().catch(() => this.failed(id, source, entry)) };
    this.ready.set(id, entry);
    return entry;
  }

  async failed(id, source, entry) {
    let sentence = "the picture cannot be loaded: the studio does not respond";
    try {
      const answer = await fetch(source);
      if (answer.ok) {
        entry.node.src = source;
        return;
      }
      sentence = (await answer.json()).error;
    } catch {
      setTimeout(() => this.ready.delete(id), 2000); // tried again when it is shown the next time
    }
    if (this.current === id) this.place.replaceChildren(make("p", { class: "error stage-error", role: "alert" }, sentence));
  }

  /** A clip or a short video plays at once, muted and in a loop; with reduced motion it waits for Space. */
  player(id, row, entry) {
    if (entry.unplayable) {
      this.slides(id, row, entry);
      return entry.node;
    }
    if (entry.player) {
      this.play(entry.player, row);
      return entry.player;
    }
    const player = make("video", { loop: true, playsinline: true, preload: "auto", src: `/items/${id}/media`, poster: entry.source, "aria-label": row.name });
    player.muted = true;
    player.disablePictureInPicture = true;
    const start = row.start_seconds ?? 0;
    player.addEventListener("loadedmetadata", () => { player.currentTime = start; });
    player.addEventListener("timeupdate", () => {
      if (row.end_seconds !== null && player.currentTime >= row.end_seconds) player.currentTime = start;
    });
    // A format that the browser cannot play: the server's frames in turn say as much.
    player.addEventListener("error", () => {
      entry.unplayable = true;
      this.slides(id, row, entry);
    });
    entry.player = player;
    this.play(player, row);
    return player;
  }

  play(player, row) {
    if (!this.calm.matches) player.play().catch(() => null);
  }

  toggle() {
    const player = this.place.querySelector("video");
    if (!player) return this.slideshow?.id === this.current ? this.slideshow.toggle() : null;
    if (player.paused) player.play().catch(() => null);
    else player.pause();
    return player.paused ? "paused" : "playing";
  }

  slides(id, row, entry) {
    if (this.current !== id) return;
    this.place.replaceChildren(entry.node);
    const start = row.start_seconds ?? 0, length = (row.end_seconds ?? start + 8) - start;
    let step = 0, timer, paused = this.calm.matches;
    const next = () => {
      if (this.current !== id || this.slideshow !== show || paused) return;
      step = (step + 1) % 8;
      const node = new Image();
      node.alt = row.name;
      node.src = `${pictureAddress(id, this.place)}&t=${(start + (length * step) / 8).toFixed(3)}`;
      node.decode().then(() => {
        if (this.current !== id || this.slideshow !== show || paused) return;
        this.place.replaceChildren(node);
        timer = setTimeout(next, 400);
      }, () => null);
    };
    const show = { id, toggle: () => {
      paused = !paused;
      clearTimeout(timer);
      if (!paused) next();
      return paused ? "paused" : "playing, eight pictures in turn: the browser cannot play this format";
    } };
    this.slideshow = show;
    timer = setTimeout(next, 400);
  }
}
