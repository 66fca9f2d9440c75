// The outbox: what a person typed is stored in this browser first (IndexedDB), then sent in order until the studio says
// that it is durable. A closed tab, a killed server or a lost network lose nothing; a repeated event is applied once,
// because each has its client and number. Every tab is a client of its own; any tab sends what others left behind.

import { api, AnswerError } from "/static/requests.js";

const BATCH = 200;
const FIRST_WAIT = 300, LONGEST_WAIT = 10_000; // milliseconds between tries
const ANSWER_WAIT = 20_000;

const MOST_BYTES = 300_000; // of a request; the studio takes a million
const KEEPALIVE_BYTES = 20_000; // characters; browsers allow 64 KiB in all

const sent = ({ order, local, ...event }) => event;

/** The first events of a list whose JSON is no larger than one request may be, and at least one. */
function withinBytes(records) {
  let bytes = 0;
  const end = records.findIndex((one, place) => (bytes += JSON.stringify(sent(one)).length * 3) > MOST_BYTES && place > 0);
  return end < 0 ? records : records.slice(0, end);
}

const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

// crypto.randomUUID is missing where the page is not from https or this machine.
export function randomName() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Send events of labels: which of them are durable, and which were refused and why. */
async function deliverLabels(events, options) {
  return api("/events", { events }, options);
}

export class Outbox extends EventTarget {
  /**
   * studio: what names the store, so that labels of one studio never go to another at the same address. kind: what is
   * kept, "" for labels. deliver(events, options): sends the first of the events, or more, and answers {durable: {client:
   * [sequence]}, refused: [{client, sequence, error}]}.
   */
  constructor(studio, { kind = "", deliver = deliverLabels } = {}) {
    super();
    this.name = `cliplab-outbox${kind}-${studio}`;
    this.studio = studio;
    this.deliver = deliver;
    this.client = randomName();
    this.sequence = 0;
    this.waiting = 0; // stored here, not yet durable there
    this.unwritten = 0; // of these, not yet on their way into the browser's storage, which is still opening
    this.uncommitted = 0; // of these, not yet on this browser's disk: a tab that is closed now may lose them
    this.memory = []; // kept only in this tab, because the browser's storage refuses
    this.trouble = ""; // "", "offline", "refusing" (disk, read-only), "token"
    this.sentence = "";
    this.refused = [];
    this.wait = FIRST_WAIT;
    this.opened = false; // nobody knows yet what waits here
    this.leftBehind = true; // something waited here when it was opened, as far as is known
    this.opening = this.open().finally(() => {
      this.opened = true;
      this.changed();
    });
    this.channel = "BroadcastChannel" in window ? new BroadcastChannel(this.name) : null;
    if (this.channel) this.channel.onmessage = () => this.count();
    addEventListener("online", () => this.hurry());
    addEventListener("offline", () => this.tell("offline", "this browser has no network"));
    // A page that is being left sends at once what it can; the rest stays for the next page.
    document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && this.hurry());
  }

  async open() {
    const request = indexedDB.open(this.name, 1);
    request.onupgradeneeded = () => {
      const events = request.result.createObjectStore("events", { keyPath: "order", autoIncrement: true });
      events.createIndex("name", ["client", "sequence"], { unique: true });
    };
    this.database = await done(request);
    this.database.onversionchange = () => this.database.close();
    await this.count();
    this.leftBehind = this.waiting > 0;
    this.hurry();
    return this.database;
  }

  /** Store an event and return its {client, sequence} at once. local: what the page needs to show it after a reload. */
  put(annotator, item, action, value, local = null) {
    return this.putAll([{ annotator, item, action, value, local }])[0];
  }

  /** Store several events at once, all or none of them. */
  putAll(events) {
    const at = Date.now() / 1000;
    return this.take(events.map((event) => ({ local: null, ...event, client: this.client, sequence: this.sequence++, at })));
  }

  /** Store events that have their names already, of this tab or of one before. */
  take(records) {
    this.waiting += records.length;
    this.changed();
    this.store(records);
    return records.map(({ client, sequence }) => ({ client, sequence }));
  }

  store(records) {
    this.unwritten += records.length;
    this.uncommitted += records.length;
    // Async, so that a database that was closed meanwhile is an error like any other.
    const write = async (database) => {
      this.unwritten -= records.length;
      const transaction = database.transaction("events", "readwrite", { durability: "strict" });
      records.forEach((record) => transaction.objectStore("events").add(record));
      // Committed by this task, so that it does not depend on the tab from here on.
      transaction.commit?.();
      await new Promise((resolve, reject) => {
        transaction.oncomplete = resolve;
        transaction.onabort = transaction.onerror = () => reject(transaction.error);
      });
    };
    // Without waiting for a promise where the database is open: the tab may be closed in the next moment.
    const unopened = (error) => {
      this.unwritten -= records.length;
      throw error;
    };
    const written = this.database ? write(this.database) : this.opening.then(write, unopened);
    written
      .catch((error) => {
        this.memory.push(...records);
        this.tell("memory", `this browser cannot store labels (${error?.message ?? error}); keep this tab open until they are saved`);
      })
      .then(() => {
        this.uncommitted -= records.length;
        this.changed();
        this.channel?.postMessage("put");
        this.hurry();
      });
  }

  /** The events that are not durable yet, in their order: a page that opens shows them over what the studio knows. */
  async pending() {
    await this.opening.catch(() => null);
    const stored = this.database ? await done(this.database.transaction("events").objectStore("events").getAll()) : [];
    return [...stored, ...this.memory];
  }

  async count() {
    if (!this.database) return;
    let put, stored;
    do {
      // What is put while this counts is not in the count: "saved" would be said of a label that is not.
      put = this.sequence;
      stored = await done(this.database.transaction("events").objectStore("events").count());
    } while (put !== this.sequence);
    this.waiting = stored + this.memory.length + this.unwritten;
    this.changed();
  }

  hurry() {
    clearTimeout(this.timer);
    this.timer = null;
    this.flush();
  }

  /** Send what is there, in order. One round at a time in this tab, and by a lock in this browser. */
  async flush() {
    if (this.sending) {
      this.again = true;
      return;
    }
    this.sending = true;
    try {
      do {
        this.again = false;
        const locked = navigator.locks
          ? (work) => navigator.locks.request(this.name, work)
          : (work) => work();
        while (await locked(() => this.round()));
      } while (this.again);
      this.wait = FIRST_WAIT;
    } catch (error) {
      this.failed(error);
      this.timer = setTimeout(() => this.flush(), this.wait * (0.75 + Math.random() / 2));
      this.wait = Math.min(LONGEST_WAIT, this.wait * 2);
    } finally {
      this.sending = false;
      await this.count().catch(() => null);
    }
  }

  /** One request. Returns whether there may be more to send. */
  async round() {
    await this.opening.catch(() => null);
    const stored = this.database
      ? await done(this.database.transaction("events").objectStore("events").getAll(null, BATCH))
      : [];
    const batch = withinBytes(stored.length ? stored : this.memory.slice(0, BATCH));
    if (!batch.length) {
      this.tell("", "");
      return false;
    }
    const events = batch.map(sent);
    const answer = await this.deliver(events, {
      keepalive: JSON.stringify(events).length < KEEPALIVE_BYTES, // a browser still sends these while the tab closes
      signal: AbortSignal.timeout(ANSWER_WAIT),
    });
    const durable = new Set(Object.entries(answer.durable).flatMap(([client, numbers]) => numbers.map((n) => `${client} ${n}`)));
    const refused = new Map(answer.refused.map((one) => [`${one.client} ${one.sequence}`, one.error]));
    const settled = batch.filter((one) => durable.has(`${one.client} ${one.sequence}`) || refused.has(`${one.client} ${one.sequence}`));
    await this.remove(settled);
    this.tell("", "");
    for (const one of settled) {
      const why = refused.get(`${one.client} ${one.sequence}`);
      if (why === undefined) continue;
      this.refused.push({ ...one, error: why });
      this.dispatchEvent(new CustomEvent("refused", { detail: { event: one, error: why } }));
    }
    await this.count();
    this.channel?.postMessage("sent");
    this.dispatchEvent(new CustomEvent("stored", { detail: { events: settled.length - refused.size, answer } }));
    if (!settled.length) throw new Error("the studio's response lists no event that was sent");
    return true;
  }

  async remove(records) {
    this.memory = this.memory.filter((one) => !records.includes(one));
    const keys = records.map((one) => one.order).filter((order) => order !== undefined);
    if (!keys.length) return;
    const transaction = this.database.transaction("events", "readwrite");
    keys.forEach((key) => transaction.objectStore("events").delete(key));
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
  }

  failed(error) {
    if (error instanceof AnswerError) {
      if (error.status === 401) this.tell("token", error.message);
      else this.tell("refusing", error.message);
    } else {
      this.tell("offline", "the studio does not respond; this page retries until it does");
    }
  }

  tell(trouble, sentence) {
    if (this.trouble === "memory" && trouble !== "" && this.memory.length) return;
    this.trouble = trouble;
    this.sentence = sentence;
    this.changed();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  /** The state of saving in one small word. */
  get word() {
    const unsaved = this.waiting.toLocaleString("en");
    const storing = this.uncommitted ? `, ${this.uncommitted.toLocaleString("en")} being stored` : "";
    const kept = `${Math.max(0, this.waiting - this.uncommitted).toLocaleString("en")} kept here${storing}`;
    if (this.trouble === "offline") return this.waiting ? `offline: ${kept}` : "offline";
    if (this.trouble === "refusing") return `cannot save: ${kept}`;
    if (this.trouble === "token") return `signed out: ${kept}`;
    if (this.trouble === "memory") return `${unsaved} unsaved, in this tab only`;
    return this.waiting ? `${unsaved} unsaved` : this.opened ? "saved" : "";
  }
}
