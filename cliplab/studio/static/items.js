// The items of a list: numbers, own labels and flags of all of them, and the rows of those that are looked at.

import { api } from "/static/requests.js";

export const DISAGREE = 1, FLAGGED = 2, MISSING = 4, OPEN = 8, VIDEO = 16;
const MOST_ROWS = 2000;

export class Items {
  constructor() {
    this.ids = new Uint32Array();
    this.labels = new Uint16Array();
    this.flags = new Uint8Array();
    this.rows = new Map();
    this.former = new Map();
    this.asked = new Set();
    this.onRow = () => null; // hears of each row that arrives
  }

  get length() {
    return this.ids.length;
  }

  /** Ask for the list that a filter names, as one annotator sees it; take() makes it the present one. */
  async ask(filters, annotator) {
    const query = new URLSearchParams({ ...filters, as: annotator ?? "" });
    const response = await fetch(`/items/index?${query}`);
    if (!response.ok) throw new Error((await response.json()).error);
    return { data: await response.arrayBuffer(), annotator: annotator ?? "" };
  }

  take({ data, annotator }) {
    const count = data.byteLength / 7;
    // Rows of the list before are shown until the new ones are there; of another person they show what is not theirs.
    this.former = annotator === this.annotator ? new Map([...this.former, ...this.rows].slice(-MOST_ROWS)) : new Map();
    this.annotator = annotator;
    this.ids = new Uint32Array(data, 0, count);
    this.labels = new Uint16Array(data, 4 * count, count);
    this.flags = new Uint8Array(data, 6 * count, count);
    this.rows.clear();
  }

  /** The place of an item in the list, or -1. */
  indexOf(id) {
    let low = 0, high = this.ids.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ids[middle] < id) low = middle + 1;
      else high = middle;
    }
    return this.ids[low] === id ? low : -1;
  }

  /** The next place at which a test holds, going on at the start after the end; -1 if there is none. */
  next(from, test) {
    for (let step = 1; step <= this.length; step++) {
      const index = (from + step) % this.length;
      if (test(index)) return index;
    }
    return -1;
  }

  row(index) {
    return this.rows.get(this.ids[index]) ?? this.former.get(this.ids[index]);
  }

  /** Load the rows of a stretch that are not there yet. */
  async fetchRows(first, last) {
    return this.fetchIds([...this.ids.subarray(Math.max(0, first), Math.min(last, this.length))]);
  }

  async fetchIds(ids) {
    const wanted = ids.filter((id) => !this.rows.has(id) && !this.asked.has(id)).slice(0, 200);
    if (!wanted.length) return false;
    wanted.forEach((id) => this.asked.add(id));
    try {
      const { items } = await api(`/items?${new URLSearchParams({ ids: wanted.join(","), as: this.annotator })}`);
      for (const row of items) this.keep(row);
    } finally {
      wanted.forEach((id) => this.asked.delete(id));
    }
    return true;
  }

  keep(row) {
    this.rows.delete(row.id);
    this.rows.set(row.id, row);
    this.onRow(row);
    while (this.rows.size > MOST_ROWS) this.rows.delete(this.rows.keys().next().value);
  }
}

/** 83.2 -> "01:23.2" */
export function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const two = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(tenths / 36000);
  return `${hours ? `${hours}:` : ""}${two(Math.floor(tenths / 600) % 60)}:${two(Math.floor(tenths / 10) % 60)}.${tenths % 10}`;
}
