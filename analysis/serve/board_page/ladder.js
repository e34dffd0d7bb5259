// A size ladder: what each rung showed, what was said of it beforehand, and what its gate answered.
import { ladderPlot } from "./plots.js";
import { element, rate } from "./words.js";

export function showLadder(at, told) {
  at("ladder").hidden = false; // before anything is drawn: a canvas that is hidden has no width
  ladderPlot(at("ladder-rates"), told.rates, { yLabel: "Best learning rate", yText: rate });
  ladderPlot(at("ladder-losses"), told.losses, { yLabel: "Quote loss, nats per token", yText: (value) => value.toFixed(2) });
  const parts = [table("Rungs that ran, by the fit of all their trials", told.rungs), table("Predictions against outcomes, misses included", told.predictions)];
  for (const line of told.broken) parts.push(element("p", line, "note"));
  for (const gate of told.gates) {
    const list = element("ul");
    for (const [holds, says] of gate.lines) list.append(element("li", `${holds ? "holds" : "closed"}: ${says}`, holds ? "" : "note"));
    parts.push(element("h3", `Gate before ${gate.size}`), list);
  }
  at("ladder-words").replaceChildren(...parts);
}

function table(title, [heads, ...rows]) {
  const made = element("table"), head = element("tr"), frame = element("div", undefined, "scroll");
  made.append(element("caption", title), head);
  for (const name of heads) {
    const cell = element("th", name);
    cell.scope = "col";
    head.append(cell);
  }
  for (const row of rows) {
    const line = element("tr");
    for (const text of row) line.append(element("td", text));
    made.append(line);
  }
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", title);
  frame.append(made);
  return frame;
}
