// Small plots on canvas: ten thousand points in a few milliseconds. Colour and shape differ together.
import { bytes, count } from "./words.js";
export const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#C46A9B", "#A87B00", "#3A96D2", "#808080"];
const LEFT = 68, RIGHT = 12, TOP = 22, BOTTOM = 36, GREY = "#808080";

function frame(canvas, xs, ys, { xLabel, yLabel, xText = String, yText = String, xLog = false, yLog = false, xTicks }) {
  const scale = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const draw = canvas.getContext("2d"), style = getComputedStyle(canvas);
  draw.scale(scale, scale);
  draw.font = "12px system-ui, sans-serif";
  if (!xs.length) {
    draw.fillStyle = style.color;
    draw.fillText("Nothing to draw yet.", 0, 24);
    return null;
  }
  const turn = xLog ? Math.log2 : (value) => value;
  let [low, high] = range(xs).map(turn);
  const top = range(ys)[1] * 1.08 || 1, least = xLog ? 0 : high * 0.05; // nearer values would have the same words at each tick
  if (high > low && high - low < least) [low, high] = [(low + high - least) / 2, (low + high + least) / 2];
  const margin = (high - low) * 0.06 || 0.5;
  const x = (value) => LEFT + ((turn(value) - low + margin) / (high - low + 2 * margin)) * (width - LEFT - RIGHT);
  const under = Math.log2(range(ys)[0] / 1.08), over = Math.log2(top);
  const share = (value) => (yLog ? (Math.log2(value) - under) / (over - under) : value / top);
  const y = (value) => height - BOTTOM - share(value) * (height - TOP - BOTTOM);
  draw.fillStyle = style.color;
  draw.strokeStyle = style.borderBottomColor;
  draw.textAlign = "right";
  for (let step = 0; step <= 4; step++) {
    const value = yLog ? 2 ** (under + ((over - under) * step) / 4) : (top * step) / 4;
    draw.beginPath(); draw.moveTo(LEFT, y(value)); draw.lineTo(width - RIGHT, y(value)); draw.stroke();
    draw.fillText(yText(value), LEFT - 6, y(value) + 4);
  }
  draw.textAlign = "center";
  const ticks = xTicks ?? [0, 1, 2, 3, 4].map((step) => low + ((high - low) * step) / 4);
  for (const value of [...new Set(ticks)]) draw.fillText(xText(value), x(value), height - BOTTOM + 15);
  draw.fillText(xLabel, (LEFT + width - RIGHT) / 2, height - 5);
  draw.textAlign = "left";
  draw.fillText(yLabel, LEFT, 11);
  return { draw, x, y, width, top };
}

function range(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
  return low > high ? [0, 1] : [low, high];
}

function mark(draw, x, y, kind, size, open) {
  draw.beginPath();
  if (kind % 3 === 0) draw.arc(x, y, size, 0, 7);
  else if (kind % 3 === 1) draw.rect(x - size * 0.9, y - size * 0.9, size * 1.8, size * 1.8);
  else { draw.moveTo(x, y - size * 1.2); draw.lineTo(x + size * 1.2, y); draw.lineTo(x, y + size * 1.2); draw.lineTo(x - size * 1.2, y); draw.closePath(); }
  draw.strokeStyle = draw.fillStyle = COLOURS[kind % COLOURS.length];
  if (open) draw.stroke(); else draw.fill();
}

export function memoryPlot(canvas, points, lines) {
  const near = lines.filter((line) => line.bytes <= 2.5 * range(points.flatMap((p) => [p.measured ?? 0, p.predicted ?? 0]))[1]);
  const heights = [...points.flatMap((p) => [p.measured ?? 0, p.predicted ?? 0, p.high ?? 0]), ...near.map((line) => line.bytes)];
  const batches = [...new Set(points.map((p) => p.batch))].sort((a, b) => a - b);
  const plot = frame(canvas, batches, heights, { xLabel: "Batch size", yLabel: "Memory", yText: bytes, xLog: true, xTicks: batches.length <= 10 ? batches : batches.filter((_, i) => i % 4 === 0) });
  if (!plot) return [];
  const { draw, x, y, width } = plot;
  for (const p of points) {
    if (p.low != null && p.high > p.low) { draw.globalAlpha = 0.25; draw.strokeStyle = COLOURS[p.kind % 7]; draw.lineWidth = 6; draw.beginPath(); draw.moveTo(x(p.batch), y(p.low)); draw.lineTo(x(p.batch), y(p.high)); draw.stroke(); draw.globalAlpha = 1; draw.lineWidth = 1.5; }
    if (p.predicted != null) mark(draw, x(p.batch), y(p.predicted), p.kind, 7, true);
    if (p.measured != null) mark(draw, x(p.batch), y(p.measured), p.kind, 3.5, false);
  }
  draw.setLineDash([6, 4]);
  for (const line of near) { draw.strokeStyle = GREY; draw.beginPath(); draw.moveTo(LEFT, y(line.bytes)); draw.lineTo(width - RIGHT, y(line.bytes)); draw.stroke(); }
  draw.setLineDash([]);
  draw.textAlign = "right";
  draw.fillStyle = getComputedStyle(canvas).color;
  for (const line of near) draw.fillText(`${line.name ? line.name + " has" : "capacity"} ${bytes(line.bytes)}`, width - RIGHT, y(line.bytes) - 5);
  return lines.filter((line) => !near.includes(line));
}

export function frontPlot(canvas, points, xLabel) {
  const fastest = range(points.map((p) => p.speed ?? 0))[1] || 1;
  const plot = frame(canvas, points.map((p) => p.memory), points.map((p) => p.quality), { xLabel, yLabel: "Sample quality", xText: bytes, yText: (v) => (v && v < 0.1 ? v.toPrecision(2) : v.toFixed(2)) });
  if (!plot) return [];
  const { draw, x, y } = plot;
  const placed = [];
  for (const p of points) {
    mark(draw, x(p.memory), y(p.quality), p.kind, 3 + 6 * Math.sqrt((p.speed ?? 0) / fastest), !p.front);
    placed.push([x(p.memory), y(p.quality), p.row]);
  }
  return placed;
}

export function ladderPlot(canvas, { fitted, predicted }, words) {
  const points = [...fitted, ...predicted], sizes = [...new Set(points.map((point) => point[0]))];
  const plot = frame(canvas, sizes, points.flatMap((point) => point.slice(1)), { xLabel: "Parameters", xText: count, xLog: true, yLog: true, xTicks: sizes, ...words });
  if (!plot) return;
  const { draw, x, y } = plot;
  for (const [size, value, low, high] of predicted) {
    mark(draw, x(size), y(value), 1, 5, true);
    draw.beginPath(); draw.moveTo(x(size), y(low)); draw.lineTo(x(size), y(high)); draw.stroke();
  }
  for (const [size, value] of fitted) mark(draw, x(size), y(value), 0, 5, false);
}

export function curvePlot(canvas, curves) {
  const all = curves.flatMap((curve) => curve.points);
  const { draw, x, y } = frame(canvas, [0, ...all.map((p) => p[0])], all.map((p) => p[1]), { xLabel: "Tokens", yLabel: "Loss, nats per token", xText: (v) => Math.round(v).toLocaleString("en"), yText: (v) => v.toFixed(1) });
  draw.lineWidth = 2;
  curves.forEach((curve, kind) => {
    draw.strokeStyle = COLOURS[kind % 7];
    draw.setLineDash(kind % 2 ? [6, 3] : []);
    draw.beginPath();
    curve.points.forEach(([tokens, loss], i) => (i ? draw.lineTo(x(tokens), y(loss)) : draw.moveTo(x(tokens), y(loss))));
    draw.stroke();
    const [tokens, loss] = curve.points.at(-1);
    draw.fillStyle = COLOURS[kind % 7];
    draw.textAlign = "right";
    draw.fillText(curve.name, x(tokens), y(loss) - 6);
  });
}
