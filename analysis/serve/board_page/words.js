// Figures as a person reads them, and elements that hold text as text.
const GIB = 2 ** 30, MIB = 2 ** 20;
const digits = (value) => (value >= 100 ? Math.round(value).toLocaleString("en") : value >= 10 ? value.toFixed(1) : value.toFixed(2));
export const bytes = (size) => (size == null ? "–" : size >= GIB ? digits(size / GIB) + " GiB" : digits(size / MIB) + " MiB");
export const decimal = (value) => (value == null ? "–" : value.toFixed(3));
export const speed = (value) => (value == null ? "–" : Math.round(value).toLocaleString("en"));
export const rate = (value) => (value == null ? "–" : value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e"));
export const count = (value) => new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value);
export const words = (value) => (value == null || value === "" ? "–" : String(value).replaceAll("_", " "));
const FORMATS = { bytes, decimal, speed, rate };
export const figure = (value, kind) => (FORMATS[kind] ?? ((plain) => (plain == null ? "–" : plain.toLocaleString("en"))))(value);
export function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
