// What this tab did, to be undone and done again: groups of events, kept over a reload.

const MOST_GROUPS = 500;

export class History {
  constructor(studio) {
    this.key = `cliplab-history-${studio}`;
    const kept = JSON.parse(sessionStorage.getItem(this.key) ?? "null");
    this.past = kept?.past ?? [];
    this.future = kept?.future ?? [];
    // Written when the tab goes away, so that a key press does not wait for it.
    addEventListener("pagehide", () => this.keep());
  }

  keep() {
    try {
      sessionStorage.setItem(this.key, JSON.stringify({ past: this.past, future: this.future }));
    } catch {
      sessionStorage.removeItem(this.key); // too many for the browser: the labels themselves are safe
    }
  }

  push(group) {
    this.past.push(group);
    if (this.past.length > MOST_GROUPS) this.past.shift();
    this.future = [];
  }

  undo() {
    const group = this.past.pop();
    if (group) this.future.push(group);
    return group;
  }

  redo() {
    const group = this.future.pop();
    if (group) this.past.push(group);
    return group;
  }
}
