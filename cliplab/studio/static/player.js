// A video: exact frames from the server while it stands still, the browser's player while it plays.
//
// A moment is always the timestamp of a frame, in seconds since the first frame. While the browser plays, the moment is
// that of the frame on the screen, which requestVideoFrameCallback tells; currentTime is only where it is sent to.
// What the browser cannot play, and what runs backwards, is played from the server's frames, without sound.
//
//   const player = new Player(stage, item);   await player.open();
//   player.addEventListener("time", () => player.time);     "state": playing, rate or error changed
//   player.seek(seconds); player.step(1); player.play(); player.pause(); player.setRate(2);

import { api } from "./studio.js";

const BLOCK = 60, AHEAD = 4, KEPT_PICTURES = 60, SAME = 1e-6;
export const RATES = [0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 8, 16];

/** The frame times of a video, fetched stretch by stretch. */
export class FrameTimes {
  constructor(item) {
    this.item = item;
    this.duration = Infinity;
    this.blocks = new Map();
    this.asked = new Map();
  }

  /** Have the frames around a moment listed. Resolves when they are. */
  async load(time) {
    const number = Math.max(0, Math.floor(time / BLOCK));
    if (this.blocks.has(number)) return;
    if (!this.asked.has(number)) {
      const asked = api(`/items/${this.item}/times?start=${number * BLOCK}&end=${(number + 1) * BLOCK}`)
        .then((answer) => this.blocks.set(number, Float64Array.from(answer.times)))
        .finally(() => this.asked.delete(number));
      this.asked.set(number, asked);
    }
    await this.asked.get(number);
  }

  /** The frame that is shown at a moment; undefined where the stretch is not listed yet. */
  at(time) {
    const times = this.blocks.get(Math.max(0, Math.floor((time + SAME) / BLOCK)));
    return times?.[Math.max(0, placeOf(times, time))];
  }

  /** The frame `count` frames after (or before) the one that is shown at a moment; the first or last at the ends. */
  async around(time, count) {
    await this.load(time);
    let number = Math.max(0, Math.floor((time + SAME) / BLOCK)), times = this.blocks.get(number);
    if (!times) { await this.load(number * BLOCK); times = this.blocks.get(number); }
    let place = Math.max(0, placeOf(times, time)) + count;
    while (place < 0 && number > 0) {
      await this.load(--number * BLOCK);
      const before = this.blocks.get(number).filter((one) => one < times[0] - SAME);
      place += before.length;
      if (before.length) times = before; // a frame may last for several stretches
    }
    while (place >= times.length && (number + 1) * BLOCK <= this.duration) {
      await this.load(++number * BLOCK);
      const last = times[times.length - 1], after = this.blocks.get(number).filter((one) => one > last + SAME);
      if (!after.length) continue;
      place -= times.length;
      times = after;
    }
    return times[Math.min(Math.max(0, place), times.length - 1)];
  }
}

function placeOf(times, time) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time + SAME) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Decoded frames as pictures, the last ones kept, and never two requests for one. */
class Pictures {
  constructor(item, height) {
    this.item = item;
    this.height = height;
    this.kept = new Map();
  }

  get(time) {
    const known = this.kept.get(time);
    if (known) {
      this.kept.delete(time);
      this.kept.set(time, known);
      return known;
    }
    const asked = this._fetch(time);
    asked.catch(() => this.kept.delete(time));
    this.kept.set(time, asked);
    for (const [old, picture] of this.kept) {
      if (this.kept.size <= KEPT_PICTURES) break;
      this.kept.delete(old);
      picture.then((found) => found.bitmap.close(), () => {});
    }
    return asked;
  }

  async _fetch(time) {
    const response = await fetch(`/items/${this.item}/frame?t=${time}&h=${this.height}`);
    if (!response.ok) {
      const answer = await response.json().catch(() => ({}));
      throw new Error(answer.error ?? `the frame could not be loaded (status ${response.status})`);
    }
    const exact = Number(response.headers.get("X-Frame-Time") ?? time);
    return { time: exact, bitmap: await createImageBitmap(await response.blob()) };
  }

  clear() { this.kept.clear(); }
}

export class Player extends EventTarget {
  /** stage: an empty element. item: the number of the video. */
  constructor(stage, item, { height = 720 } = {}) {
    super();
    this.item = item;
    this.times = new FrameTimes(item);
    this.pictures = new Pictures(item, height);
    this.time = 0;
    this.rate = 1;
    this.playing = false;
    this.loop = null; // {start, end}
    this.fromFrames = false;
    this.error = null;
    this.video = document.createElement("video");
    Object.assign(this.video, { preload: "metadata", playsInline: true, disableRemotePlayback: true });
    this.video.tabIndex = -1;
    this.video.setAttribute("aria-hidden", "true");
    this.canvas = document.createElement("canvas");
    this.canvas.className = "exact";
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "The frame at the playhead");
    this.problem = document.createElement("p");
    this.problem.className = "problem error";
    this.problem.setAttribute("role", "alert");
    this.problem.hidden = true;
    this.waiting = document.createElement("p");
    this.waiting.className = "waiting";
    this.waiting.setAttribute("role", "status");
    this.waiting.textContent = "reading the video…";
    stage.append(this.video, this.canvas, this.waiting, this.problem);
  }

  async open() {
    try {
      this.info = await api(`/items/${this.item}/info`);
    } catch (error) {
      this._fail(error);
      return;
    }
    this.duration = this.info.duration_seconds ?? 0;
    this.times.duration = this.duration;
    this.video.addEventListener("error", () => this._mediaFailed());
    this.video.addEventListener("ended", () => this._ended());
    this.video.src = `/items/${this.item}/media`;
    await this.seek(0);
  }

  // -- standing still ----------------------------------------------------------------------------------------------

  /** Go to the frame that is shown at a moment. Resolves with its exact time when its picture is there. */
  async seek(seconds) {
    const wanted = Math.min(Math.max(seconds, 0), this.duration || seconds);
    const again = this.playing && !this.fromFrames && !this._backwards;
    if (this.playing && !again) { this._anchor(wanted); return wanted; }
    const ticket = (this._ticket = (this._ticket ?? 0) + 1);
    try {
      await this.times.load(wanted);
      const exact = this.times.at(wanted) ?? wanted;
      if (ticket !== this._ticket) return exact;
      if (again) { this.video.currentTime = this._sentTo(exact); return exact; }
      this._setTime(exact);
      await this._show(exact, ticket);
      return exact;
    } catch (error) {
      if (ticket === this._ticket) this._fail(error);
      return wanted;
    }
  }

  /** Step by frames: 1 the next one, -1 the one before. */
  async step(count) {
    if (this.playing) this.pause();
    try {
      // Steps that come faster than pictures add up.
      this._stepping = (this._stepping ?? Promise.resolve()).then(() => this.times.around(this.time, count)).then((time) => this._setTime(time));
      await this._stepping;
    } catch (error) {
      this._stepping = undefined;
      this._fail(error);
      return;
    }
    await this.seek(this.time);
    this._fetchAhead(count > 0 ? 1 : -1);
  }

  async _fetchAhead(direction) {
    const from = this.time;
    for (let count = 1; count <= AHEAD && this.time === from && !this.playing; count++) {
      const next = await this.times.around(from, count * direction).catch(() => from);
      if (next === from) return;
      await this.pictures.get(next).catch(() => {});
    }
  }

  async _show(exact, ticket = this._ticket) {
    const { bitmap, time } = await this.pictures.get(exact);
    if (ticket !== this._ticket || (this.playing && !this._ownClock)) return;
    this._paint(bitmap);
    this.shown = time;
    this._clearError();
  }

  _paint(bitmap) {
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
      this.canvas.width = bitmap.width;
      this.canvas.height = bitmap.height;
    }
    try { this.canvas.getContext("2d").drawImage(bitmap, 0, 0); } catch { return; } // it was let go meanwhile
    this.canvas.hidden = false;
    this.waiting.hidden = true;
  }

  _setTime(time) {
    this.time = time;
    this.dispatchEvent(new Event("time"));
  }

  // -- playing ---------------------------------------------------------------------------------------------------------

  get _backwards() { return this.rate < 0; }

  /** The middle of a frame, in the browser's seconds: exactly on its edge a player may show the one before. */
  _sentTo(exact) {
    const half = 0.5 / (this.info.fps || 25);
    return exact + this.info.player_offset_seconds + Math.min(half, 0.01);
  }

  async play(rate = Math.abs(this.rate)) {
    this.rate = rate;
    if (!this.info || this.duration === 0) return;
    if (rate > 0 && this.time >= this.duration - 0.5 / (this.info.fps || 25) - SAME) this.time = this.loop?.start ?? 0;
    this._ticket = (this._ticket ?? 0) + 1;
    this.playing = true;
    this._ownClock = this.fromFrames || rate < 0;
    this._state();
    if (this._ownClock) {
      this.video.pause();
      this._anchor(this.time);
      this._playFrames(this._run = Symbol("run"));
      return;
    }
    this._run = Symbol("run");
    this.video.playbackRate = rate;
    this.video.currentTime = this._sentTo(this.time);
    try {
      await this.video.play();
      this._watch(this._run);
    } catch (error) {
      if (error.name === "NotAllowedError") { // no gesture yet: browsers allow it without sound
        this.video.muted = true;
        this.video.play().then(() => this._watch(this._run), () => this._mediaFailed());
      } else if (error.name !== "AbortError") this._mediaFailed();
    }
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this._run = null;
    this.video.pause();
    this.rate = Math.abs(this.rate);
    this._state();
    this.seek(this.time);
  }

  toggle() { if (this.playing) this.pause(); else this.play(); }

  setRate(rate) {
    this.rate = rate;
    if (this.playing) {
      const ownClock = this.fromFrames || rate < 0;
      if (ownClock || this._ownClock) this.play(rate);
      else this.video.playbackRate = rate;
    }
    this._state();
  }

  /** Follow the frames that the browser shows. */
  _watch(run) {
    const shown = (_, frame) => {
      if (run !== this._run) return;
      this.canvas.hidden = true;
      this._played(frame.mediaTime - this.info.player_offset_seconds);
      this.video.requestVideoFrameCallback(shown);
    };
    this.video.requestVideoFrameCallback(shown);
  }

  _played(seconds) {
    // mediaTime is the frame's timestamp up to rounding; the list has the exact one.
    const near = Math.max(0, seconds) + 0.0006;
    this.times.load(near + 2).catch(() => {});
    const exact = this.times.at(near);
    if (exact === undefined) this.times.load(near).catch(() => {});
    this._setTime(exact ?? Math.max(0, seconds));
    if (this.loop && (this.time >= this.loop.end - SAME || this.time < this.loop.start - 1)) {
      if (this._ownClock) this._anchor(this.loop.start);
      else this.video.currentTime = this._sentTo(this.loop.start);
    }
  }

  _anchor(time) { this._clock = { time, at: performance.now() }; this._setTime(this.times.at(time) ?? time); }

  /** Play from the server's frames: as many as come in time, each at its own moment. */
  async _playFrames(run) {
    let failed = 0;
    while (run === this._run) {
      const wanted = this._clock.time + ((performance.now() - this._clock.at) / 1000) * this.rate;
      const moment = Math.min(Math.max(wanted, 0), this.duration);
      try {
        await this.times.load(moment);
        const exact = this.times.at(moment) ?? moment;
        if (exact !== this.shown) {
          const { bitmap, time } = await this.pictures.get(exact);
          if (run !== this._run) return;
          this._paint(bitmap);
          this.shown = time;
          this._played(exact);
        }
        failed = 0;
      } catch (error) {
        if (++failed > 2) { this.pause(); this._fail(error); return; }
      }
      if (wanted < 0 || (wanted >= this.duration && !this.loop)) { this._ended(); return; }
      await new Promise((done) => requestAnimationFrame(done));
    }
  }

  _ended() {
    if (!this.playing) return;
    if (this.loop && this.rate > 0) { this.time = this.loop.start; this.play(this.rate); return; }
    const backwards = this._backwards;
    this.dispatchEvent(new Event("ended"));
    this.pause();
    this.seek(backwards ? 0 : this.duration);
  }

  // -- what goes wrong -------------------------------------------------------------------------------------------------

  /** The browser cannot play the file: because of its kind, or because it is gone. */
  async _mediaFailed() {
    const wasPlaying = this.playing;
    if (this.fromFrames) return;
    try {
      await api(`/items/${this.item}/info`);
    } catch (error) {
      this.pause();
      this._fail(error);
      return;
    }
    this.fromFrames = true;
    if (wasPlaying) this.play(this.rate);
    this._state();
  }

  _fail(error) {
    const offline = error instanceof TypeError;
    this.error = offline ? "The studio does not respond, so this frame is not loaded. Your labels are kept." : error.message;
    this.problem.textContent = this.error;
    this.problem.hidden = false;
    this.waiting.hidden = true;
    if (!offline) this.canvas.hidden = true;
    this.pictures.clear();
    this._state();
  }

  _clearError() {
    if (this.error === null) return;
    this.error = null;
    this.problem.hidden = true;
    this._state();
  }

  _state() { this.dispatchEvent(new Event("state")); }
}
