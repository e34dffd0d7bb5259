// The chosen trial: anatomy, what went wrong, and its samples beside the base model's.
import { bytes, decimal, element, rate, speed, words } from "./words.js";

export function showDetail(place, found) {
  if (found.unreadable !== undefined) return place.replaceChildren(element("p", found.unreadable, "note"));
  const { row } = found, parts = [];
  parts.push(element("p", `Batch ${row.batch_size}, micro-batch ${row.micro_batch_size}, learning rate ${rate(row.learning_rate)}; ${words(row.outcome)}. ` +
    `Quality ${decimal(row.sample_quality)}, peak ${bytes(row.peak_bytes)} measured, ${bytes(row.predicted_bytes)} predicted, ${speed(row.tokens_per_second)} tokens/s.` +
    (row.gpu_seconds ? ` ${(row.gpu_seconds / 3600).toFixed(2)} GPU-hours` + (row.price == null ? "." : `, cost ${row.price.toFixed(2)}.`) : "")));
  for (const text of [row.error, row.explanation, ...found.interruptions]) if (text) parts.push(element("p", text, "note"));
  const { predicted, measured, predictedFor } = found;
  if (predicted && measured) parts.push(...bars(`Anatomy of the peak: predicted for ${predictedFor} (outlined), measured (filled)`, predicted, measured));
  else if (predicted) parts.push(...bars(`Anatomy of the peak, predicted for ${predictedFor}`, predicted, {}));
  if (Object.keys(found.phases).length) parts.push(...bars("Peak by phase, measured", {}, found.phases));
  if (found.samples.length) {
    const grid = element("div", undefined, "samples");
    grid.tabIndex = 0;
    grid.setAttribute("role", "region");
    grid.setAttribute("aria-label", "Samples");
    for (const title of ["Prompt", "Base model", "Tuned"]) grid.append(element("div", title, "title"));
    for (const s of firsts(found.samples)) grid.append(element("div", s.prompt), element("div", s.base, "base"), element("div", s.tuned, "tuned"));
    parts.push(element("h3", "Samples, the first of each prompt"), grid);
  }
  place.replaceChildren(...parts);
}

function firsts(samples) {
  const seen = new Set();
  return samples.filter((s) => !seen.has(s.prompt) && seen.add(s.prompt));
}

// A line for each name, with one bar or two under one another.
function bars(title, predicted, measured) {
  const made = element("div", undefined, "bars"), largest = Math.max(...Object.values(predicted), ...Object.values(measured), 1);
  for (const name of new Set([...Object.keys(predicted), ...Object.keys(measured)])) {
    const pair = element("div"), told = [];
    for (const [size, kind, word] of [[predicted[name], "predicted", " predicted"], [measured[name], "", " measured"]]) {
      if (size == null) continue;
      const bar = element("div", undefined, "bar " + kind);
      bar.style.width = (100 * size) / largest + "%";
      pair.append(bar);
      told.push(bytes(size) + (name in predicted && name in measured ? word : ""));
    }
    made.append(element("span", words(name)), pair, element("span", told.join(", "), "number"));
  }
  return [element("h3", title), made];
}
