// A list or grid of any length of which only what is on screen exists. Cells are made once and used again.

const SPARE_ROWS = 1;
const BUDGET = 10; // milliseconds of drawing in one frame of the screen; what is left follows in the next

export class VirtualGrid {
  /**
   * place: the scrolling element. options: cellWidth (0: one column), cellHeight in pixels, draw(cell, index) fills a
   * cell, make() makes one, settled(first, last) hears which cells are on screen once scrolling rests. draw's third
   * argument is true while the list flies past: pictures then wait until it rests, for the eye and for the server.
   */
  constructor(place, { cellWidth = 0, cellHeight, make, draw, settled = () => null }) {
    Object.assign(this, { place, cellWidth, cellHeight, make, draw, settled, count: 0 });
    this.sheet = document.createElement("div");
    this.sheet.className = "virtual-sheet";
    this.sheet.setAttribute("role", "presentation");
    place.replaceChildren(this.sheet);
    this.cells = new Map(); // index -> element
    this.spare = [];
    place.addEventListener("scroll", () => this.soon(), { passive: true });
    new ResizeObserver(() => this.refresh()).observe(place);
  }

  setCount(count) {
    this.count = count;
    this.refresh();
  }

  get columns() {
    return this.cellWidth ? Math.max(1, Math.floor(this.place.clientWidth / this.cellWidth)) : 1;
  }

  soon() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = null;
      this.paint();
    });
  }

  refresh() {
    this.sheet.style.height = `${Math.ceil(this.count / this.columns) * this.cellHeight}px`;
    for (const [index, cell] of this.cells) this.release(index, cell);
    this.paint();
  }

  range() {
    const columns = this.columns;
    const first = Math.max(0, Math.floor(this.place.scrollTop / this.cellHeight) - SPARE_ROWS) * columns;
    const rows = Math.ceil(this.place.clientHeight / this.cellHeight) + 2 * SPARE_ROWS + 1;
    return [first, Math.min(this.count, first + rows * columns)];
  }

  release(index, cell) {
    cell.hidden = true;
    this.cells.delete(index);
    this.spare.push(cell);
  }

  paint() {
    const [first, last] = this.range();
    for (const [index, cell] of this.cells) if (index < first || index >= last) this.release(index, cell);
    const columns = this.columns, begun = performance.now();
    if (!this.unfinished) {
      this.hasty ||= this.cells.size < (last - first) / 2 && this.painted;
      this.painted = true;
    }
    this.unfinished = false;
    for (let index = first; index < last; index++) {
      if (this.cells.has(index)) continue;
      if (performance.now() - begun > BUDGET) {
        this.unfinished = true;
        this.soon();
        return;
      }
      const cell = this.spare.pop() ?? this.sheet.appendChild(this.make());
      cell.style.transform = `translate(${(index % columns) * this.cellWidth}px, ${Math.floor(index / columns) * this.cellHeight}px)`;
      cell.hidden = false;
      this.cells.set(index, cell);
      this.draw(cell, index, this.hasty);
    }
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.rest(), 80);
  }

  rest() {
    const hasty = this.hasty;
    this.hasty = false;
    if (hasty) this.redrawAll();
    this.settled(...this.range());
  }

  redraw(index) {
    const cell = this.cells.get(index);
    if (cell) this.draw(cell, index);
  }

  redrawAll() {
    this.stale = [...this.cells.keys()].reverse();
    this.redrawSome();
  }

  redrawSome() {
    const begun = performance.now();
    while (this.stale.length) {
      this.redraw(this.stale.pop());
      if (performance.now() - begun > BUDGET && this.stale.length) {
        requestAnimationFrame(() => this.redrawSome());
        return;
      }
    }
  }

  /** Scroll as little as needed to have a cell on screen, with its neighbours. */
  reveal(index) {
    const top = Math.floor(index / this.columns) * this.cellHeight;
    const { scrollTop, clientHeight } = this.place;
    if (top - this.cellHeight < scrollTop) this.place.scrollTop = Math.max(0, top - this.cellHeight);
    else if (top + 2 * this.cellHeight > scrollTop + clientHeight) this.place.scrollTop = top + 2 * this.cellHeight - clientHeight;
  }
}
