// The intervals of one person on one video: what an action changes, and undo. No page, no network: plain values.
//
// An interval is {id, label, start, end}, seconds since the first frame, end > start. They are sorted by start. Two that
// touch share an edge, which moves for both. A change is {action: "interval" | "move" | "delete", id, ...}, as an event
// of the label store; what it did away with is kept beside it, so that it can be taken back.

const SAME = 1e-6; // seconds: two edges closer than this are one

/** A name for a new interval that no other client makes. */
export function newId() {
  return crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Intervals {
  constructor(list = []) {
    this.sorted = [];
    this.byId = new Map();
    this.longest = 0; // the longest interval so far: how far back one that covers a moment may start
    this.replaceAll(list);
  }

  replaceAll(list) {
    this.sorted = [...list].sort((a, b) => a.start - b.start || a.end - b.end);
    this.byId = new Map(this.sorted.map((one) => [one.id, one]));
    this.longest = this.sorted.reduce((longest, one) => Math.max(longest, one.end - one.start), 0);
  }

  get size() { return this.sorted.length; }

  /** Place of the first interval that starts at or after a moment. */
  placeAt(time) {
    let low = 0, high = this.sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.sorted[middle].start < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Intervals that overlap or touch a stretch, in order. */
  touching(start, end) {
    const found = [];
    for (let place = this.placeAt(start - this.longest - SAME); place < this.sorted.length; place++) {
      const one = this.sorted[place];
      if (one.start > end + SAME) break;
      if (one.end >= start - SAME) found.push(one);
    }
    return found;
  }

  /** The interval that covers a moment: of several the one that starts last. */
  at(time) {
    return this.touching(time, time).findLast((one) => one.start <= time + SAME && time < one.end - SAME) ?? null;
  }

  /** The edge nearest to a moment, or null. */
  nearestEdge(time) {
    let best = null;
    const consider = (edge) => { if (best === null || Math.abs(edge - time) < Math.abs(best - time)) best = edge; };
    const place = this.placeAt(time);
    for (const one of this.sorted.slice(place, place + 2)) { consider(one.start); consider(one.end); }
    for (let before = place - 1; before >= 0; before--) {
      const one = this.sorted[before];
      consider(one.start);
      consider(one.end);
      if (time - one.start > this.longest + Math.abs(best - time)) break;
    }
    return best;
  }

  /** Edges of intervals in order, the nearest one after (or before) a moment; null if there is none. */
  nextEdge(time, direction) {
    let best = null;
    for (const one of this.sorted) { // few: asked for by a key
      for (const edge of [one.start, one.end]) {
        const ahead = (edge - time) * direction;
        if (ahead > SAME && (best === null || ahead < (best - time) * direction)) best = edge;
      }
    }
    return best;
  }

  // -- what an action would change -------------------------------------------------------------------------------

  /** Label a stretch: what was there is cut back, and neighbours of the same label that touch it become one with it. */
  paint(label, start, end) {
    if (!(end > start + SAME)) return [];
    const changes = [];
    let kept = null; // an interval of this label that grows instead of a new one
    for (const one of this.touching(start, end)) {
      if (one.label === label) {
        start = Math.min(start, one.start);
        end = Math.max(end, one.end);
      }
    }
    for (const one of this.touching(start, end)) {
      const left = one.start < start - SAME, right = one.end > end + SAME;
      if (one.label === label) {
        if (kept === null) kept = one;
        else changes.push(this._delete(one));
      } else if (one.end <= start + SAME || one.start >= end - SAME) {
        continue; // touches only
      } else if (left && right) {
        changes.push(this._move(one, one.start, start));
        changes.push({ action: "interval", id: newId(), label: one.label, start: end, end: one.end });
      } else if (left) changes.push(this._move(one, one.start, start));
      else if (right) changes.push(this._move(one, end, one.end));
      else changes.push(this._delete(one));
    }
    if (kept === null) changes.push({ action: "interval", id: newId(), label, start, end });
    else if (kept.start > start + SAME || kept.end < end - SAME) changes.push(this._move(kept, start, end));
    return changes;
  }

  /** Move an edge, of both intervals where two share it. least: the shortest that an interval may become. */
  moveEdge(edge, to, least, duration) {
    const near = this.touching(edge, edge);
    const ending = near.filter((one) => Math.abs(one.end - edge) <= SAME);
    const starting = near.filter((one) => Math.abs(one.start - edge) <= SAME);
    if (!ending.length && !starting.length) return { changes: [], to: edge };
    let low = 0, high = duration;
    for (const one of ending) low = Math.max(low, one.start + least);
    for (const one of starting) high = Math.min(high, one.end - least);
    if (!ending.length) { // not into the interval before
      for (const one of this.touching(Math.min(to, edge), edge)) if (one.end <= edge + SAME && !starting.includes(one)) low = Math.max(low, one.end);
    }
    if (!starting.length) {
      for (const one of this.touching(edge, Math.max(to, edge))) if (one.start >= edge - SAME && !ending.includes(one)) high = Math.min(high, one.start);
    }
    if (low > high) return { changes: [], to: edge };
    const at = Math.min(Math.max(to, low), high);
    if (Math.abs(at - edge) <= SAME / 2) return { changes: [], to: edge };
    return { changes: [...ending.map((one) => this._move(one, one.start, at)), ...starting.map((one) => this._move(one, at, one.end))], to: at };
  }

  relabel(id, label) {
    const one = this.byId.get(id);
    if (!one || one.label === label) return [];
    return [{ action: "move", id, start: one.start, end: one.end, label, before: { ...one } }];
  }

  remove(id) {
    const one = this.byId.get(id);
    return one ? [this._delete(one)] : [];
  }

  _move(one, start, end) { return { action: "move", id: one.id, start, end, before: { ...one } }; }
  _delete(one) { return { action: "delete", id: one.id, before: { ...one } }; }

  // -- making it so -----------------------------------------------------------------------------------------------

  apply(changes) {
    for (const change of changes) {
      const known = this.byId.get(change.id);
      if (known) this._take(known);
      if (change.action === "delete") continue;
      if (change.action === "move" && !known) continue; // deleted in another tab
      this._put({ ...(known ?? {}), id: change.id, label: change.label ?? known?.label, start: change.start, end: change.end });
    }
  }

  /** Take changes back, the last one first. */
  revert(changes) {
    for (const change of [...changes].reverse()) {
      const known = this.byId.get(change.id);
      if (known) this._take(known);
      if (change.before) this._put({ ...change.before });
    }
  }

  /** Make one interval what it is elsewhere; null: it is gone. */
  set(id, interval) {
    const known = this.byId.get(id);
    if (known) this._take(known);
    if (interval) this._put({ ...interval });
  }

  _put(one) {
    let place = this.placeAt(one.start);
    while (place < this.sorted.length && this.sorted[place].start === one.start && this.sorted[place].end < one.end) place++;
    this.sorted.splice(place, 0, one);
    this.byId.set(one.id, one);
    this.longest = Math.max(this.longest, one.end - one.start);
  }

  _take(one) {
    let place = this.placeAt(one.start);
    while (this.sorted[place] !== one) place++;
    this.sorted.splice(place, 1);
    this.byId.delete(one.id);
  }
}

/** The event of a change, as the label store takes it. */
export function eventOf(item, change) {
  const value = { interval: change.id };
  if (change.action !== "delete") Object.assign(value, { start: change.start, end: change.end });
  if (change.label !== undefined && change.action !== "delete") value.label = change.label;
  return { item, action: change.action, value };
}
