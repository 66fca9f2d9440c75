// A timeline: one row per source of truth, time from left to right, one playhead through all rows, zoom.
//
// Drawn on a canvas, and only what is in view: of intervals that are narrower than a pixel one per pixel, so that
// thousands are as fast as ten. It changes nothing by itself: it says what a person did, and the page decides.
//
//   const timeline = new Timeline(element, {duration: 60, colorOf: (label) => "#e69f00"});
//   timeline.setRow({id: "labels", name: "Labels", kind: "intervals", intervals: [{id, label, start, end}], editable: true});
//   timeline.setRow({id: "model", name: "Model", kind: "scores", times: [...], scores: [...], threshold: 0.5});
//   timeline.setRow({id: "sound", name: "Sound", kind: "wave", perSecond: 20, peaks: Int8Array of low, high pairs});
//   timeline.setRow({id: "cuts", name: "Cuts", kind: "marks", times: [...]});
//   timeline.addEventListener("seek", (event) => event.detail.time);
//
// Events (detail): seek {time}; select {row, id}; edge {row, edge, time, done} while an edge is dragged; view {start, end}.

const HEIGHTS = { intervals: 34, scores: 34, wave: 44, marks: 14 };
const RULER = 20, GAP = 2, GRAB = 6, SAME = 1e-6, MOST_LANES = 4;

/** Seconds as 00:12.400, or 1:02:03.400. */
export function clockText(seconds, digits = 3) {
  const unit = 10 ** digits, whole = Math.round(Math.max(0, seconds) * unit);
  const rest = Math.floor(whole / unit);
  const parts = [Math.floor(rest / 60) % 60, rest % 60].map((part) => String(part).padStart(2, "0"));
  const hours = Math.floor(rest / 3600);
  const fraction = digits ? "." + String(whole % unit).padStart(digits, "0") : "";
  return (hours ? hours + ":" : "") + parts.join(":") + fraction;
}

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export class Timeline extends EventTarget {
  /** host: an empty element. options: duration, colorOf(label), keyOf(label) -> letter, label (name for screen readers). */
  constructor(host, options = {}) {
    super();
    this.host = host;
    this.duration = options.duration ?? 0;
    this.colorOf = options.colorOf ?? (() => "#999999");
    this.keyOf = options.keyOf ?? (() => "");
    this.rows = [];
    this.playhead = 0;
    this.view = { start: 0, end: this.duration || 1 };
    this.selected = null;
    this.painting = null; // {label, start, end} while a label is painted
    this.points = { in: null, out: null };
    this.names = element("div", { class: "timeline-names", "aria-hidden": "true" });
    this.canvas = element("canvas", {
      class: "timeline-canvas", tabindex: "0", role: "slider", "aria-label": options.label ?? "Playhead",
      "aria-valuemin": "0", "aria-valuemax": String(this.duration), "aria-valuenow": "0", "aria-valuetext": clockText(0),
    });
    host.classList.add("timeline");
    host.append(this.names, this.canvas);
    this._size = new ResizeObserver(() => this._resize());
    this._size.observe(host);
    this._listen();
    matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => { this._tokens = null; this.redraw(); });
  }

  destroy() { this._size.disconnect(); this.host.replaceChildren(); }

  setDuration(seconds) {
    this.duration = seconds;
    this.canvas.setAttribute("aria-valuemax", String(seconds));
    this.setView(0, seconds);
  }

  /** Add a row, or replace the one of the same id. Intervals must be sorted by start. */
  setRow(row) {
    const place = this.rows.findIndex((one) => one.id === row.id);
    if (place < 0) this.rows.push(row);
    else this.rows[place] = row;
    if (row.kind === "intervals") row.lanes = lanesOf(row.intervals);
    this._layout();
    this.redraw();
  }

  removeRow(id) {
    this.rows = this.rows.filter((row) => row.id !== id);
    this._layout();
    this.redraw();
  }

  setPlayhead(time, follow = true) {
    this.playhead = time;
    if (follow) this._follow(time);
    this.redraw();
  }

  select(id) { this.selected = id; this.redraw(); }

  setView(start, end) {
    const least = Math.min(this.duration || 1, 0.2), length = Math.min(Math.max(end - start, least), this.duration || 1);
    const from = Math.min(Math.max(start, 0), Math.max(0, (this.duration || 1) - length));
    this.view = { start: from, end: from + length };
    this.redraw();
    this.dispatchEvent(new CustomEvent("view", { detail: { ...this.view } }));
  }

  /** factor above 1 shows more detail; around: the moment that keeps its place. */
  zoom(factor, around = this.playhead) {
    const { start, end } = this.view, inside = around >= start && around <= end ? around : (start + end) / 2;
    this.setView(inside - (inside - start) / factor, inside + (end - inside) / factor);
  }

  _follow(time) {
    const { start, end } = this.view, length = end - start;
    if (time >= start && time <= end) return;
    this.setView(time > end && time < end + length ? time - length * 0.1 : time - length / 2, time > end && time < end + length ? time + length * 0.9 : time + length / 2);
  }

  xOf(time) { return ((time - this.view.start) / (this.view.end - this.view.start)) * this.width; }
  timeOf(x) { return this.view.start + (x / this.width) * (this.view.end - this.view.start); }

  // -- layout --------------------------------------------------------------------------------------------------------

  _layout() {
    let top = RULER;
    const names = [element("div", { class: "timeline-name ruler" })];
    names[0].style.height = `${RULER - GAP}px`;
    for (const row of this.rows) {
      row.top = top;
      row.height = row.height ?? HEIGHTS[row.kind];
      top += row.height + GAP;
      const name = element("div", { class: `timeline-name ${row.kind}`, title: row.name }, row.name);
      name.style.height = `${row.height}px`;
      names.push(name);
    }
    this.names.replaceChildren(...names);
    if (this.height !== top) {
      this.height = top;
      this.canvas.style.height = `${top}px`;
      this._resize();
    }
  }

  _resize() {
    const scale = devicePixelRatio || 1;
    this.width = Math.max(1, this.canvas.clientWidth);
    this.canvas.width = Math.round(this.width * scale);
    this.canvas.height = Math.round((this.height ?? RULER) * scale);
    this.scale = scale;
    this._draw();
  }

  redraw() {
    if (this._asked) return;
    this._asked = requestAnimationFrame(() => { this._asked = 0; this._draw(); });
  }

  // -- drawing -------------------------------------------------------------------------------------------------------

  get tokens() {
    if (!this._tokens) {
      const style = getComputedStyle(this.host), read = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
      this._tokens = {
        panel: read("--st-panel", "#181b20"), line: read("--st-line", "#3a4048"), text: read("--st-text", "#e3e6ea"),
        quiet: read("--st-quiet", "#a9b1bb"), accent: read("--st-accent", "#6cb6f5"), ground: read("--st-ground", "#101215"),
      };
      this._font = `12px ${style.fontFamily}`;
    }
    return this._tokens;
  }

  _draw() {
    const context = this.canvas.getContext("2d"), tokens = this.tokens;
    if (!this.width || !this.height) return;
    context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.font = this._font;
    context.textBaseline = "middle";
    this._drawRuler(context, tokens);
    for (const row of this.rows) {
      context.fillStyle = tokens.panel;
      context.fillRect(0, row.top, this.width, row.height);
      if (row.kind === "intervals") this._drawIntervals(context, row, tokens);
      else if (row.kind === "scores") this._drawScores(context, row, tokens);
      else if (row.kind === "wave") this._drawWave(context, row, tokens);
      else this._drawMarks(context, row, tokens);
    }
    this._drawPoints(context, tokens);
    const x = Math.round(this.xOf(this.playhead)) + 0.5;
    context.strokeStyle = tokens.text;
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, this.height);
    context.stroke();
    context.lineWidth = 1;
    this._sayValue();
  }

  _sayValue() {
    // A screen reader hears where the playhead is when it rests, not at each frame.
    clearTimeout(this._saying);
    this._saying = setTimeout(() => {
      this.canvas.setAttribute("aria-valuenow", this.playhead.toFixed(3));
      this.canvas.setAttribute("aria-valuetext", clockText(this.playhead));
    }, 120);
  }

  _drawRuler(context, tokens) {
    const length = this.view.end - this.view.start, wanted = (length / this.width) * 90;
    const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600];
    const step = steps.find((one) => one >= wanted) ?? 86400;
    const digits = step >= 1 ? 0 : step >= 0.1 ? 1 : 2;
    context.fillStyle = tokens.quiet;
    context.strokeStyle = tokens.line;
    context.beginPath();
    for (let number = Math.ceil(this.view.start / step - SAME); number * step <= this.view.end; number++) {
      const x = Math.round(this.xOf(number * step)) + 0.5;
      context.moveTo(x, RULER - 6);
      context.lineTo(x, RULER);
      const text = clockText(number * step, digits);
      if (x + 4 + context.measureText(text).width < this.width) context.fillText(text, x + 3, RULER / 2 - 1);
    }
    context.stroke();
  }

  _drawIntervals(context, row, tokens) {
    const lanes = row.lanes, height = (row.height - 4) / lanes.length;
    lanes.forEach((lane, number) => {
      const top = row.top + 2 + number * height;
      let place = firstEndingAfter(lane, this.view.start);
      while (place < lane.length && lane[place].start < this.view.end) {
        const one = lane[place], left = Math.max(0, this.xOf(one.start)), right = Math.min(this.width, this.xOf(one.end));
        this._drawInterval(context, one, left, Math.max(right - left, 1), top, height - 1, tokens, row);
        place++;
        // What ends within the same pixel would be drawn over it.
        if (place < lane.length && this.xOf(lane[place].end) < Math.floor(right) + 1) {
          place = Math.max(place, firstEndingAfter(lane, this.timeOf(Math.floor(right) + 1)));
        }
      }
    });
    if (this.painting && row.editable) {
      const { label, start, end } = this.painting, from = this.xOf(Math.min(start, end)), to = this.xOf(Math.max(start, end));
      this._drawInterval(context, { id: null, label }, from, Math.max(to - from, 2), row.top + 2, row.height - 5, tokens, row);
    }
  }

  _drawInterval(context, one, left, width, top, height, tokens, row) {
    context.globalAlpha = row.editable ? 1 : 0.75;
    context.fillStyle = this.colorOf(one.label);
    context.fillRect(left, top, width, height);
    context.globalAlpha = 1;
    if (width > 4) {
      context.fillStyle = tokens.ground;
      context.fillRect(left, top, 1, height);
    }
    if (width > 26 && height >= 12) {
      context.save();
      context.beginPath();
      context.rect(left + 2, top, width - 4, height);
      context.clip();
      const key = this.keyOf(one.label);
      const text = width > 60 && key ? `${key.toUpperCase()}  ${one.label}` : key.toUpperCase() || one.label;
      context.fillStyle = inkOn(this.colorOf(one.label));
      context.fillText(text, left + 6, top + height / 2 + 0.5);
      context.restore();
    }
    if (one.id !== null && one.id === this.selected) {
      context.strokeStyle = tokens.text;
      context.lineWidth = 2;
      context.strokeRect(left + 1, top + 1, Math.max(width - 2, 1), height - 2);
      context.lineWidth = 1;
    }
  }

  _drawScores(context, row, tokens) {
    const { times, scores } = row, from = Math.max(0, lowerBound(times, this.view.start) - 1);
    const yOf = (score) => row.top + row.height - 2 - Math.min(Math.max(score, 0), 1) * (row.height - 4);
    if (row.threshold !== undefined) {
      context.strokeStyle = tokens.line;
      context.beginPath();
      context.moveTo(0, yOf(row.threshold));
      context.lineTo(this.width, yOf(row.threshold));
      context.stroke();
    }
    context.strokeStyle = row.color ?? tokens.accent;
    context.lineWidth = 1.5;
    context.beginPath();
    let column = -1, low = 1, high = 0, begun = false;
    for (let place = from; place < times.length; place++) {
      const x = this.xOf(times[place]), here = Math.floor(x);
      if (here !== column && column >= 0) { // many in a pixel: from the lowest to the highest
        context[begun ? "lineTo" : "moveTo"](column, yOf(high));
        context.lineTo(column, yOf(low));
        begun = true;
        low = 1; high = 0;
      }
      column = here;
      low = Math.min(low, scores[place]);
      high = Math.max(high, scores[place]);
      if (x > this.width) break;
    }
    if (column >= 0) { context[begun ? "lineTo" : "moveTo"](column, yOf(high)); context.lineTo(column, yOf(low)); }
    context.stroke();
    context.lineWidth = 1;
  }

  _drawWave(context, row, tokens) {
    const middle = row.top + row.height / 2;
    if (!row.peaks) {
      context.fillStyle = tokens.quiet;
      context.fillText(row.note ?? "", 6, middle);
      return;
    }
    const { peaks, perSecond } = row, bins = peaks.length / 2, half = (row.height - 4) / 2 / 127;
    context.fillStyle = tokens.quiet;
    const seconds = (this.view.end - this.view.start) / this.width;
    // Of a wide view not every bin is looked at: some of a pixel's are as good as all.
    for (let x = 0; x < this.width; x++) {
      const from = Math.floor((this.view.start + x * seconds) * perSecond);
      const to = Math.min(Math.max(from + 1, Math.floor((this.view.start + (x + 1) * seconds) * perSecond)), bins);
      const stride = Math.max(1, Math.floor((to - from) / 32));
      let low = 0, high = 0;
      for (let bin = Math.max(from, 0); bin < to; bin += stride) {
        low = Math.min(low, peaks[2 * bin]);
        high = Math.max(high, peaks[2 * bin + 1]);
      }
      context.fillRect(x, middle - high * half, 1, Math.max(1, (high - low) * half));
    }
  }

  _drawMarks(context, row, tokens) {
    context.strokeStyle = row.color ?? tokens.quiet;
    context.beginPath();
    let last = -2;
    for (let place = lowerBound(row.times, this.view.start); place < row.times.length && row.times[place] <= this.view.end; place++) {
      const x = Math.round(this.xOf(row.times[place]));
      if (x < last + 2) continue;
      last = x;
      context.moveTo(x + 0.5, row.top + 1);
      context.lineTo(x + 0.5, row.top + row.height - 1);
    }
    context.stroke();
  }

  _drawPoints(context, tokens) {
    const { in: from, out: to } = this.points;
    if (from !== null && to !== null) {
      context.fillStyle = tokens.accent;
      context.globalAlpha = 0.2;
      context.fillRect(this.xOf(from), 0, this.xOf(to) - this.xOf(from), this.height);
      context.globalAlpha = 1;
    }
    context.fillStyle = tokens.accent;
    for (const [point, name] of [[from, "I"], [to, "O"]]) {
      if (point === null) continue;
      const x = this.xOf(point);
      context.fillRect(Math.round(x), 0, 2, this.height);
      context.fillText(name, name === "I" ? x + 5 : x - 11, RULER + 10);
    }
  }

  // -- the pointer ---------------------------------------------------------------------------------------------------

  _hit(event) {
    const box = this.canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const row = this.rows.find((one) => y >= one.top && y < one.top + one.height) ?? null;
    const time = Math.min(Math.max(this.timeOf(x), 0), this.duration);
    if (row?.kind !== "intervals") return { x, row, time, interval: null, edge: null };
    const lane = row.lanes[Math.min(row.lanes.length - 1, Math.max(0, Math.floor(((y - row.top - 2) / (row.height - 4)) * row.lanes.length)))];
    const place = firstEndingAfter(lane, time);
    const interval = place < lane.length && lane[place].start <= time ? lane[place] : null;
    let edge = null, near = GRAB;
    for (const one of [lane[place - 1], lane[place], lane[place + 1]]) {
      if (!one || !row.editable) continue;
      for (const at of [one.start, one.end]) {
        const far = Math.abs(this.xOf(at) - x);
        if (far < near) { near = far; edge = at; }
      }
    }
    return { x, row, time, interval, edge };
  }

  _say(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }

  _listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      const hit = this._hit(event);
      canvas.setPointerCapture(event.pointerId);
      if (hit.edge !== null) this._drag = { row: hit.row.id, edge: hit.edge, from: hit.x, moved: false };
      else {
        this._drag = { seek: true };
        if (hit.interval) this._say("select", { row: hit.row.id, id: hit.interval.id });
        this._say("seek", { time: hit.time });
      }
    });
    canvas.addEventListener("pointermove", (event) => {
      const hit = this._drag ? null : this._hit(event);
      canvas.style.cursor = hit ? (hit.edge !== null ? "ew-resize" : "default") : canvas.style.cursor;
      if (!this._drag) return;
      const x = event.clientX - canvas.getBoundingClientRect().left, time = Math.min(Math.max(this.timeOf(x), 0), this.duration);
      if (this._drag.seek) this._say("seek", { time });
      else if (this._drag.moved || Math.abs(x - this._drag.from) > 2) {
        this._drag.moved = true;
        this._drag.time = time;
        this._say("edge", { row: this._drag.row, edge: this._drag.edge, time, done: false });
      }
    });
    const end = () => {
      const drag = this._drag;
      this._drag = null;
      if (drag?.moved) this._say("edge", { row: drag.row, edge: drag.edge, time: drag.time, done: true });
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const time = this.timeOf(event.clientX - canvas.getBoundingClientRect().left), length = this.view.end - this.view.start;
      if (event.ctrlKey || (!event.shiftKey && !event.deltaX)) this.zoom(Math.exp(-event.deltaY / 300), time);
      else {
        const by = ((event.deltaX || event.deltaY) / this.width) * length;
        this.setView(this.view.start + by, this.view.end + by);
      }
    }, { passive: false });
  }
}

/** Intervals in lanes of which none overlap within one; what does not fit in the last lane is drawn over it. */
export function lanesOf(intervals) {
  const lanes = [[]], ends = [-Infinity];
  for (const one of intervals) {
    let lane = ends.findIndex((end) => end <= one.start + SAME);
    if (lane < 0) {
      if (lanes.length < MOST_LANES) { lane = lanes.length; lanes.push([]); ends.push(-Infinity); }
      else lane = MOST_LANES - 1;
    }
    lanes[lane].push(one);
    ends[lane] = Math.max(ends[lane], one.end);
  }
  return lanes;
}

function lowerBound(values, wanted) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Place of the first interval of a lane that ends after a moment; their ends grow as their starts do. */
function firstEndingAfter(lane, time) {
  let low = 0, high = lane.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (lane[middle].end <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Black or white, whichever is read better on a colour (relative luminance of WCAG 2.2). */
export function inkOn(color) {
  const match = /^#?([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(color);
  if (!match) return "#000000";
  const [red, green, blue] = match.slice(1).map((part) => {
    const value = parseInt(part, 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
}
