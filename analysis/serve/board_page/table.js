// A table of any length: only the rows in sight are in the page.
import { bytes, decimal, element, figure, rate, speed, words } from "./words.js";
const HEIGHT = 28, SPARE = 8;
export const progress = (row) => (row.outcome !== "running" ? words(row.outcome) : row.part && row.part !== "steps" ? words(row.part) + (row.of ? ` ${row.done} of ${row.of}` : "") : row.step ? `step ${row.step} of ${row.total_steps}` : "starting");
const COLUMNS = [
  ["number", "Trial", (row, { front, best }) => (row.trial_id === best ? "★ " : front.has(row.trial_id) ? "◆ " : "") + row.number, true],
  ["model", "Size", (row) => words(row.model)],
  ["batch_size", "Batch", (row) => words(row.batch_size), true],
  ["micro_batch_size", "Micro", (row) => words(row.micro_batch_size), true],
  ["learning_rate", "Rate", (row) => rate(row.learning_rate), true],
  ["outcome", "Outcome", progress],
  ["sample_quality", "Quality", (row) => decimal(row.sample_quality), true],
  ["peak_bytes", "Peak, measured", (row) => bytes(row.peak_bytes), true],
  ["predicted_bytes", "Predicted", (row) => bytes(row.predicted_bytes), true],
  ["tokens_per_second", "Tokens/s", (row) => speed(row.tokens_per_second), true],
  ["loss", "Loss", (row) => decimal(row.loss), true],
  ["error", "Why", (row) => (row.failure ? words(row.failure) + ": " : "") + (row.error ?? "")],
];

export class Table {
  constructor(place, open) {
    Object.assign(this, { place, open, columns: COLUMNS, rows: [], standing: { front: new Set(), best: null }, by: "number", direction: 1, active: 0, chosen: null });
    this.head = element("div", undefined, "head");
    this.head.setAttribute("role", "row");
    const top = element("div"), group = (this.body = element("div", undefined, "rows"));
    top.setAttribute("role", "rowgroup");
    group.setAttribute("role", "rowgroup");
    this.heads();
    top.append(this.head);
    place.append(top, group);
    place.addEventListener("scroll", () => requestAnimationFrame(() => this.draw(false)), { passive: true });
    place.addEventListener("keydown", (event) => this.key(event));
    group.addEventListener("click", (event) => {
      const line = event.target.closest(".row");
      if (line) { this.active = Number(line.dataset.index); this.choose(); }
    });
  }
  // A column for each objective that has none yet, beside the quality.
  strive(objectives) {
    const further = objectives.filter((o) => !COLUMNS.some(([name]) => name === o.name)).map((o) => [o.name, o.title, (row) => figure(row[o.name], o.kind), true]);
    const place = COLUMNS.findIndex(([name]) => name === "sample_quality") + 1;
    const columns = [...COLUMNS.slice(0, place), ...further, ...COLUMNS.slice(place)];
    if (columns.length === this.columns.length && columns.every(([name], i) => name === this.columns[i][0])) return;
    this.columns = columns;
    this.heads();
  }
  heads() {
    this.head.replaceChildren();
    this.place.style.setProperty("--further", this.columns.length - COLUMNS.length);
    this.place.classList.toggle("further", this.columns.length > COLUMNS.length);
    for (const [name, title, , numeric] of this.columns) {
      const cell = element("div", undefined, numeric ? "number" : ""), button = element("button", title);
      cell.setAttribute("role", "columnheader");
      cell.dataset.name = name;
      button.type = "button";
      button.addEventListener("click", () => this.sortBy(name));
      cell.append(button);
      this.head.append(cell);
    }
  }
  sortBy(name) {
    this.direction = this.by === name ? -this.direction : 1;
    this.by = name;
    this.show(this.rows, this.standing);
  }
  show(rows, standing) {
    const key = this.by, way = this.direction;
    this.standing = standing;
    this.rows = [...rows].sort((a, b) => {
      const x = a[key], y = b[key];
      if (x == null || y == null) return (x == null) - (y == null) || a.number - b.number; // unmeasured stays last
      return way * (typeof x === "number" ? x - y : x < y ? -1 : x > y ? 1 : 0) || a.number - b.number;
    });
    for (const cell of this.head.children) cell.setAttribute("aria-sort", cell.dataset.name !== key ? "none" : way > 0 ? "ascending" : "descending");
    this.place.setAttribute("aria-rowcount", this.rows.length + 1);
    this.body.style.height = this.rows.length * HEIGHT + "px";
    this.active = Math.max(0, Math.min(this.active, this.rows.length - 1));
    this.draw();
  }
  draw(fresh = true) {
    const first = Math.max(0, Math.floor(this.place.scrollTop / HEIGHT) - SPARE);
    const last = Math.min(this.rows.length, first + Math.ceil(this.place.clientHeight / HEIGHT) + 2 * SPARE);
    const kept = new Map(fresh ? [] : [...this.body.children].map((line) => [Number(line.dataset.index), line]));
    for (const [index, line] of kept) if (index < first || index >= last) line.remove();
    const lines = [];
    for (let index = first; index < last; index++) {
      if (kept.has(index)) continue; // scrolling leaves what stays in sight alone
      const row = this.rows[index], line = element("div", undefined, "row" + (index === this.active ? " active" : ""));
      line.setAttribute("role", "row");
      line.setAttribute("aria-rowindex", index + 2);
      line.setAttribute("aria-selected", row.trial_id === this.chosen);
      line.dataset.index = index;
      line.id = "row-" + index;
      line.style.top = index * HEIGHT + "px";
      for (const [, , text, numeric] of this.columns) {
        const cell = element("div", text(row, this.standing), numeric ? "number" : "");
        cell.setAttribute("role", "gridcell");
        line.append(cell);
      }
      lines.push(line);
    }
    if (fresh) this.body.replaceChildren(...lines);
    else this.body.append(...lines);
    if (this.active >= first && this.active < last) this.place.setAttribute("aria-activedescendant", "row-" + this.active);
    else this.place.removeAttribute("aria-activedescendant");
  }
  key(event) {
    if (event.target !== this.place) return;
    const page = Math.floor(this.place.clientHeight / HEIGHT) - 2, end = this.rows.length - 1;
    const to = { ArrowDown: this.active + 1, ArrowUp: this.active - 1, PageDown: this.active + page, PageUp: this.active - page, Home: 0, End: end }[event.key];
    if (event.key === "Enter") return this.choose();
    if (to === undefined) return;
    event.preventDefault();
    this.active = Math.max(0, Math.min(end, to));
    const top = this.active * HEIGHT, space = this.place.clientHeight - 2 * HEIGHT;
    if (top < this.place.scrollTop) this.place.scrollTop = top;
    if (top > this.place.scrollTop + space) this.place.scrollTop = top - space;
    this.draw();
  }
  choose() {
    const row = this.rows[this.active];
    if (!row) return;
    this.chosen = row.trial_id;
    this.draw();
    this.open(row);
  }
}
