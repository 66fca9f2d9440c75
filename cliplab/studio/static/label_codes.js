// What a list keeps of each item's label in 16 bits: the place of a class from 1, or a number of its own for several
// labels together and for none of the classes.

export const OTHER_LABEL = 0xffff; // a class that is offered no more
export const SEVERAL = 0xfffe; // several labels, of which the row of the item says which
const FIRST_SET = 0x8000; // classes have smaller places
const MARK = "\u001f"; // between the names of a stored label; no name has it

/** The names of a stored label: one, several, or none of the classes; null for an item without a label. */
export const namesOf = (text) => (text === null || text === undefined ? null : text.split(MARK).filter(Boolean));

/** A stored label for people: "ad + sport". */
export const spoken = (text) => namesOf(text)?.join(" + ") || "none of the classes";

/** The value of the event that labels an item so. */
export const valueOf = (names) => (names.length === 1 ? { label: names[0] } : { labels: names });

const UNKNOWN = { key: "", index: 7 };

export class LabelCodes {
  /** classes: [{name, key, index}], in their order. */
  constructor(studio, classes) {
    this.byCode = new Map(classes.map((one) => [one.index + 1, one]));
    this.byName = new Map(classes.map((one) => [one.name, one]));
    this.key = `cliplab-label-sets-${studio}`;
    // Kept over a reload, since what can be undone has codes in it.
    this.sets = JSON.parse(sessionStorage.getItem(this.key) ?? "[]");
    this.codes = new Map(this.sets.map((names, place) => [names.join(MARK), FIRST_SET + place]));
  }

  /** The code of the names; 0 for null. */
  codeOf(names) {
    if (names === null) return 0;
    if (names.length === 1) return (this.byName.get(names[0])?.index ?? OTHER_LABEL - 1) + 1;
    const sorted = [...names].sort();
    const known = this.codes.get(sorted.join(MARK));
    if (known !== undefined) return known;
    if (FIRST_SET + this.sets.length >= SEVERAL) return SEVERAL;
    this.sets.push(sorted);
    this.codes.set(sorted.join(MARK), FIRST_SET + this.sets.length - 1);
    sessionStorage.setItem(this.key, JSON.stringify(this.sets));
    return FIRST_SET + this.sets.length - 1;
  }

  /** The names of a code; null for an item without a label, and where only its row says which. */
  names(code) {
    if (!code || code >= SEVERAL) return null;
    return code >= FIRST_SET ? this.sets[code - FIRST_SET] ?? null : this.byCode.has(code) ? [this.byCode.get(code).name] : null;
  }

  /** What a chip shows for each label of a code. */
  classes(code) {
    if (!code) return [];
    if (code === SEVERAL) return [{ ...UNKNOWN, name: "several labels" }];
    const names = this.names(code);
    if (names === null) return [{ ...UNKNOWN, name: "retired class" }];
    if (!names.length) return [{ ...UNKNOWN, key: "0", name: "none of the classes" }];
    return names.map((name) => this.byName.get(name) ?? { ...UNKNOWN, name });
  }

  /** The label of a code in words. */
  words(code) {
    return this.classes(code).map((one) => one.name).join(" + ");
  }
}
