// Small helpers over the DOM. Text goes in as text nodes only: what the API says can never become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An HTML element with attributes and children (nodes or text). */
export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element with attributes and children. */
export const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/** The element of an id. */
export const byId = (id) => document.getElementById(id);

/** Text that the API has in English only, marked so for screen readers when the page is in another language. */
export const english = (tag, text, attributes = {}) => el(tag, { lang: "en", ...attributes }, text);

/** A number as people read it; NaN and the infinities come as words. */
export function shown(value, digits = 4) {
  if (value === null || value === undefined) return "—";
  if (typeof value !== "number") return String(value).replace("-", "−").replace("Infinity", "∞");
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(digits - 2) : String(Number(value.toPrecision(digits)));
  return text.replace("e+", "e").replaceAll("-", "−");
}

/** A share as a percentage. */
export function percent(share, digits = 1) {
  return typeof share === "number" ? `${(100 * share).toFixed(digits)}\u00a0%` : shown(share);
}

/** The options of a select, with one of them chosen: pairs of value and text. */
export function setOptions(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
  select.value = chosen;
}

/** A table of head and rows; cells are nodes or text, the first of each row is its head. */
export function table(head, rows, caption) {
  const cells = (row) =>
    row.map((cell, at) => (at ? el("td", {}, cell) : el("th", { scope: "row" }, cell)));
  return el(
    "table",
    {},
    caption ? el("caption", {}, caption) : null,
    el("thead", {}, el("tr", {}, ...head.map((cell) => el("th", { scope: "col" }, cell)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...cells(row)))),
  );
}

/** What may be wider than the window: it scrolls by itself, also by keyboard. */
export const scrolling = (label, ...children) =>
  el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, ...children);
