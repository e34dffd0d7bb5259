// The board: asks once a second for what is new since its cursor, and draws that.
import { showDetail } from "./detail.js";
import { showLadder } from "./ladder.js";
import { curvePlot, frontPlot, memoryPlot } from "./plots.js";
import { progress, Table } from "./table.js";
import { bytes, element, figure, words } from "./words.js";

const at = (name) => document.getElementById(name);
const rows = new Map();
let cursor = null, sweep = null, folder = "", waiting = 0, ladder = null, placed = [], timer = null, turn = 0;
let standing = { front: new Set(), best: null }, whole = standing; // of what is shown, and of the sweep
const table = new Table(at("table"), open);
const asked = new URLSearchParams(location.search), MOST_CARDS = 12;
// Ray's dashboard says which theme it has, and frames two single panels in its Overview, by its own numbers for them.
if (["light", "dark"].includes(asked.get("theme"))) document.documentElement.dataset.theme = asked.get("theme");
if (location.pathname.startsWith("/d-solo/")) document.body.dataset.alone = asked.get("panelId") === "24" ? "figures" : "front";
const FILTERS = { model: (row) => [row.model], outcome: (row) => [row.outcome], card: (row) => Object.keys(row.cards) };

function filtered() {
  const model = at("filter-model").value, outcome = at("filter-outcome").value, card = at("filter-card").value;
  return [...rows.values()].filter((row) => (!model || row.model === model) && (!outcome || row.outcome === outcome) && (!card || row.cards[card]));
}

function offerSweeps(names) {
  const choice = at("filter-sweep"), chosen = choice.value;
  at("sweeps").hidden = !names.length;
  choice.replaceChildren(choice.options[0], ...names.map((name) => new Option(name, name)));
  choice.value = chosen;
}

function offer() {
  for (const [name, of] of Object.entries(FILTERS)) {
    const choice = at("filter-" + name), known = new Set([...choice.options].map((option) => option.value));
    for (const value of new Set([...rows.values()].flatMap(of))) if (value && !known.has(value)) choice.append(new Option(words(value), value));
  }
}

function draw() {
  const shown = filtered(), card = at("filter-card").value, all = [...rows.values()];
  const fitting = card ? shown.filter((row) => row.cards[card].fits) : shown, { front } = standing;
  const models = [...new Set(all.map((row) => row.model))], kind = (row) => models.indexOf(row.model);
  const running = all.filter((row) => row.outcome === "running"), finished = all.filter((row) => row.outcome === "finished");
  at("name").textContent = sweep.name;
  document.title = sweep.name;
  at("status").textContent = waiting > running.length ? `${all.length.toLocaleString("en")} trials read, ${waiting.toLocaleString("en")} to come` : `${all.length.toLocaleString("en")}${sweep.trials ? " of " + sweep.trials.toLocaleString("en") : ""} trials, ${running.length} running`;
  const best = rows.get(whole.best);
  const hours = all.reduce((sum, row) => sum + (row.gpu_seconds ?? 0), 0) / 3600, priced = all.filter((row) => row.price != null);
  const figures = [["finished", finished.length.toLocaleString("en")], ["out of memory", all.filter((row) => row.outcome === "out_of_memory").length], ["best trial", best ? `${best.number}: ${sweep.objectives.map((o) => `${o.heading} ${figure(best[o.name], o.kind)}`).join(", ")}` : "–"], ["GPU-hours", hours.toFixed(2)]];
  if (priced.length) figures.push(["cost", priced.reduce((sum, row) => sum + row.price, 0).toFixed(2)]);
  at("figures").replaceChildren(...figures.map(([name, value]) => { const pair = element("div"); pair.append(element("dt", name), element("dd", value)); return pair; }));
  at("shown").textContent = `${shown.length.toLocaleString("en")} shown` + (card ? `, ${fitting.length.toLocaleString("en")} of them fit ${card}` : "");
  table.strive(sweep.objectives);
  table.show(shown, standing);
  at("running").hidden = !running.length; // before anything is drawn: it takes its share of the width
  const need = (row) => (card ? row.cards[card] : { measured: row.peak_bytes, predicted: row.predicted_bytes, low: row.low, high: row.high, capacity: row.capacity });
  const points = shown.filter((row) => row.batch_size && (need(row).predicted ?? need(row).measured) != null).map((row) => ({ batch: row.batch_size, kind: kind(row), ...need(row) }));
  const lines = [...new Set(points.map((p) => p.capacity).filter(Boolean))].map((size) => ({ bytes: size, name: card }));
  const above = memoryPlot(at("memory"), points, lines);
  at("memory-words").textContent = `Filled: measured${card ? " on " + card : ""}. Open: predicted before launch${card ? " for " + card : ""}; the stroke is its band. Dashed: capacity.` + above.map((line) => ` Capacity ${bytes(line.bytes)} lies above the plot.`).join("");
  const memory = (row) => (card ? row.cards[card].measured ?? row.cards[card].predicted : row.peak_bytes);
  const judged = fitting.filter((row) => row.outcome === "finished" && row.sample_quality != null && memory(row) != null);
  const guessed = card && judged.some((row) => row.cards[card].measured == null);
  placed = frontPlot(at("pareto"), judged.map((row) => ({ row, memory: memory(row), quality: row.sample_quality, speed: row.tokens_per_second, kind: kind(row), front: front.has(row.trial_id) })), guessed ? `Memory predicted for ${card}` : "Peak memory, measured");
  const onFront = fitting.filter((row) => front.has(row.trial_id)).length;
  at("pareto-words").textContent = `${onFront} on the front of ${sweep.objectives.map((o) => o.heading).join(", ")} (filled). Larger: faster. Colour and shape: ${models.map(words).join(", ")}.`;
  const curves = running.filter((row) => row.curve?.length).map((row) => ({ points: row.curve, name: `trial ${row.number}` }));
  at("running-words").textContent = running.map((row) => `Trial ${row.number}: ${words(row.model)}, batch ${row.batch_size}, ${progress(row)}`).join("; ");
  at("curves").hidden = !curves.length;
  if (curves.length) curvePlot(at("curves"), curves);
  showCards(shown.filter((row) => row.explanation));
}

// Why there was no room, the newest first.
function showCards(without) {
  at("cards").hidden = !without.length;
  const items = without.sort((a, b) => b.number - a.number).slice(0, MOST_CARDS).map((row) => {
    const item = element("li"), button = element("button", `Trial ${row.number}`);
    button.type = "button";
    button.addEventListener("click", () => choose(row));
    item.append(button, ` ${words(row.model)}, batch ${row.batch_size}, micro-batch ${row.micro_batch_size}; ${words(row.outcome)}. ${row.explanation}`);
    return item;
  });
  at("cards-list").replaceChildren(...items);
}

function choose(row) {
  table.chosen = row.trial_id;
  table.draw();
  open(row);
}

// What was chosen of one sweep means nothing in another.
function leave() {
  for (const name of Object.keys(FILTERS)) { at("filter-" + name).length = 1; at("filter-" + name).value = ""; }
  table.chosen = null;
  at("detail").hidden = true;
}

async function open(row) {
  at("detail").hidden = false;
  at("detail-heading").textContent = `Trial ${row.number}, ${words(row.model)}`;
  at("detail-body").replaceChildren(element("p", "Reading …", "soft"));
  const answer = await fetch("/api/trials/" + encodeURIComponent(row.trial_id) + "?sweep=" + encodeURIComponent(folder));
  if (table.chosen !== row.trial_id) return;
  if (answer.ok) showDetail(at("detail-body"), await answer.json());
  else at("detail-body").replaceChildren(element("p", row.outcome === "running" ? "It still runs; samples come at its end." : await answer.text(), "soft"));
  at("detail-heading").focus();
}

// Which trials are on the front, and which is best, is the program's to say: of all, or of those of a size and a card.
async function decide() {
  const model = at("filter-model").value, card = at("filter-card").value;
  if (!model && !card) { standing = whole; return; }
  const answer = await fetch("/api/front?" + new URLSearchParams({ sweep: folder, model, card }));
  if (!answer.ok) throw new Error("the program answers " + answer.status);
  const told = await answer.json();
  if (model === at("filter-model").value && card === at("filter-card").value) standing = { front: new Set(told.front), best: told.best };
}

// What a ladder's rungs say is fitted by the program. A gate closes when nothing runs any more, so it is asked each time.
async function climb() {
  if (!sweep.is_ladder || document.body.dataset.alone) { ladder = null; at("ladder").hidden = true; return; }
  const asked = folder, answer = await fetch("/api/ladder?" + new URLSearchParams({ sweep: folder }));
  if (!answer.ok) throw new Error("the program answers " + answer.status);
  const told = await answer.json();
  if (asked !== folder) return;
  if (JSON.stringify(told) === JSON.stringify(ladder)) return;
  ladder = told;
  if (told) showLadder(at, told);
  else at("ladder").hidden = true;
}

async function ask() {
  const mine = ++turn;
  try {
    const answer = await fetch("/api/rows?" + new URLSearchParams({ sweep: at("filter-sweep").value, since: cursor ?? "" }));
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error("the program answers " + answer.status);
    if (answer.status === 200) {
      const told = await answer.json();
      if (mine !== turn) return; // another sweep was chosen meanwhile
      if (told.folder !== folder) leave();
      if (told.whole) rows.clear();
      for (const row of told.rows) rows.set(row.trial_id, row);
      ({ cursor, sweep, folder, waiting } = told);
      whole = { front: new Set(told.front), best: told.best };
      offerSweeps(told.sweeps);
      offer();
      await decide();
      if (mine !== turn) return;
      if (sweep) draw();
      else at("status").textContent = "No sweep yet; the first to come shows here.";
    }
    if (sweep) await climb();
    at("trouble").hidden = true;
  } catch (error) {
    at("trouble").hidden = false;
    at("trouble").textContent = "No news: " + error.message + ". What stands here is what was read last.";
  }
  if (mine === turn) timer = setTimeout(ask, document.hidden ? 5000 : 1000);
}

for (const name of Object.keys(FILTERS)) at("filter-" + name).addEventListener("change", async () => { await decide().catch(() => {}); draw(); });
at("filter-sweep").addEventListener("change", () => { cursor = null; clearTimeout(timer); ask(); });
const again = () => { if (sweep) draw(); if (ladder && !at("ladder").hidden) showLadder(at, ladder); };
addEventListener("resize", again);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
at("pareto").addEventListener("click", (event) => {
  let found = null, nearest = 144;
  for (const [x, y, row] of placed) {
    const distance = (x - event.offsetX) ** 2 + (y - event.offsetY) ** 2;
    if (distance < nearest) [nearest, found] = [distance, row];
  }
  if (found) choose(found);
});
ask();
