// Charts as SVG, drawn here. A line is told from another by its colour, its dashes and its name in the legend.

import { el, shown, svg } from "./dom.js";

const DASHES = ["", "9 4", "2 4", "10 3 2 3"];
const COLOURS = 7;

/** How the n-th of the catalogue is drawn, always alike: 7 colours and 4 dashes give 28 different lines. */
export const look = (at) => ({ class: `line c${at % COLOURS}`, "stroke-dasharray": DASHES[at % DASHES.length] });

/** A short piece of a line, for a legend. */
export const swatch = (at) =>
  svg("svg", { class: "swatch", viewBox: "0 0 34 8", "aria-hidden": "true" },
    svg("line", { x1: 1, x2: 33, y1: 4, y2: 4, ...look(at) }));

const WIDTH = 480;
const HEIGHT = 300;
const BOX = { left: 46, right: 470, top: 10, bottom: 272 };

/** Round numbers between two ends, about as many as asked for. */
export function ticks(low, high, wanted = 6) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((each) => each * power >= rough) * power;
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) found.push(at * step);
  return found.map((each) => Number(each.toPrecision(10)));
}

/** A scale from numbers to places. */
const scale = (from, to, low, high) => (value) => low + ((value - from) / (to - from)) * (high - low);

/** What of the values is shown: all of it, but not more than the plot can show well. */
function extent(lines) {
  const values = lines.flatMap((line) => line.y).filter(Number.isFinite);
  const low = Math.min(0, ...values);
  const high = Math.max(1, ...values);
  const edge = 0.05 * (high - low);
  return [low - edge, high + edge];
}

function axes(toX, toY, [left, right], [low, high]) {
  const group = svg("g", { class: "axes" });
  for (const x of ticks(left, right)) {
    group.append(
      svg("line", { x1: toX(x), x2: toX(x), y1: BOX.top, y2: BOX.bottom, class: x === 0 ? "zero" : "grid" }),
      svg("text", { x: toX(x), y: BOX.bottom + 18, "text-anchor": "middle" }, shown(x)),
    );
  }
  for (const y of ticks(low, high, 5)) {
    group.append(
      svg("line", { x1: BOX.left, x2: BOX.right, y1: toY(y), y2: toY(y), class: y === 0 ? "zero" : "grid" }),
      svg("text", { x: BOX.left - 6, y: toY(y) + 4, "text-anchor": "end" }, shown(y)),
    );
  }
  return group;
}

/** The path of a line; where a value is not finite, it is broken. */
function path(line, toX, toY) {
  let pen = "M";
  const steps = [];
  line.x.forEach((x, at) => {
    const y = line.y[at];
    if (!Number.isFinite(y)) pen = "M";
    else {
      steps.push(`${pen}${toX(x).toFixed(2)} ${toY(y).toFixed(2)}`);
      pen = "L";
    }
  });
  return steps.join("");
}

/**
 * Lines over each other, `{name, look, x, y}` each; whole ones below, so that they show between dashes. Returns the
 * SVG, with `mark(x)`, which moves the reading line, and `valueAt(event)`, the x under a pointer.
 */
export function lineChart(lines, label) {
  const ends = [lines[0].x[0], lines[0].x.at(-1)];
  const heights = extent(lines);
  const toX = scale(...ends, BOX.left, BOX.right);
  const toY = scale(...heights, BOX.bottom, BOX.top);
  const cursor = svg("line", { class: "cursor", y1: BOX.top, y2: BOX.bottom });
  const dashes = (line) => line.look["stroke-dasharray"].length;
  const below = [...lines].sort((one, other) => dashes(one) - dashes(other));
  const drawn = below.map((line) => svg("path", { d: path(line, toX, toY), "data-name": line.name, ...line.look }));
  const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    axes(toX, toY, ends, heights), ...drawn, cursor);
  return {
    chart,
    mark: (x) => {
      cursor.setAttribute("x1", toX(x));
      cursor.setAttribute("x2", toX(x));
    },
    valueAt: (event) => {
      const { left, width } = chart.getBoundingClientRect();
      const inside = ((event.clientX - left) / width) * WIDTH;
      return Math.min(ends[1], Math.max(ends[0], scale(BOX.left, BOX.right, ...ends)(inside)));
    },
  };
}

const SMALL = { width: 300, height: 112, left: 8, right: 292, top: 6, bottom: 88 };

/** Bars of a histogram, as one path; heights are relative to its own highest bar. */
function bars({ low, high, counts }, toX) {
  const most = Math.max(1, ...counts);
  const each = (high - low) / counts.length;
  const height = (count) => (SMALL.bottom - (Math.sqrt(count / most) * (SMALL.bottom - SMALL.top))).toFixed(1);
  const steps = counts.map((count, at) => `V${height(count)}H${toX(low + (at + 1) * each).toFixed(1)}`);
  return `M${toX(low).toFixed(1)} ${SMALL.bottom}${steps.join("")}V${SMALL.bottom}Z`;
}

/** Two histograms over one axis: what goes in (outlined) and what comes out (filled). */
export function histogram(before, after, label) {
  const ends = [before, after].map(({ histogram: h }) => h).filter((h) => h && Number.isFinite(h.low));
  if (!ends.length) return el("p", { class: "quiet" }, "—");
  const low = Math.min(...ends.map((h) => h.low));
  const high = Math.max(...ends.map((h) => h.high));
  const toX = scale(low, high > low ? high : low + 1, SMALL.left, SMALL.right);
  const labels = ticks(low, high > low ? high : low + 1, 5).map((x) =>
    svg("g", { class: x === 0 ? "zero" : "grid" },
      svg("line", { x1: toX(x), x2: toX(x), y1: SMALL.top, y2: SMALL.bottom }),
      svg("text", { x: toX(x), y: SMALL.bottom + 16, "text-anchor": "middle" }, shown(x))));
  const drawn = [[after, "after"], [before, "before"]]
    .filter(([spread]) => spread.histogram && Number.isFinite(spread.histogram.low))
    .map(([spread, kind]) => svg("path", { class: kind, d: bars(spread.histogram, toX) }));
  const box = `0 0 ${SMALL.width} ${SMALL.height}`;
  return svg("svg", { class: "histogram", viewBox: box, role: "img", "aria-label": label }, ...labels, ...drawn);
}
