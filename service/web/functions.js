// The room of functions: curves over each other, sliders, what is said of each, and how exact it is.

import { curlGet, getJson, getOnce, latest, say, showCurl, Failure } from "./api.js";
import { byId, el, english, setOptions, shown, table } from "./dom.js";
import { drawGuide } from "./guide.js";
import { lineChart, look, swatch } from "./plot.js";
import { write } from "./state.js";
import { tell } from "./story.js";
import { t } from "./words.js";

const ROOM = "functions";
const POINTS = 241;
const START = ["sigmoid", "tanh", "relu", "leaky_relu", "elu", "swish"];

const state = { names: START, about: "relu", min: -6, max: 6, parameters: {}, x: 1 };
let rows = [];
let curves = [];
let charts = [];

const rowOf = (name) => rows.find((row) => row.name === name);
const placeOf = (name) => rows.findIndex((row) => row.name === name);

/** The parameters that a curve can be moved by; an axis is not one. */
const movable = (row) => row.parameters.filter((parameter) => parameter.kind !== "integer");
const valueOf = (row, parameter) => state.parameters[`${row.name}.${parameter.name}`] ?? parameter.default;

/** The parameters that are not at their default. */
const given = (row) =>
  Object.fromEntries(
    movable(row)
      .map((each) => [each.name, valueOf(row, each), each.default])
      .filter(([, value, standard]) => value !== standard));

/** Show the room as a link has it. */
export async function show(parameters) {
  try {
    rows = (await getOnce("/v1/activations")).activations;
  } catch (error) {
    return say(error);
  }
  const unknown = restore(parameters);
  drawControls();
  await refresh();
  await drawGuide(byId("f-guide")).catch((error) => say(error, "guide"));
  if (unknown.length) say(new Failure(`${t("noFunction")} ${unknown.join(", ")}`));
  return undefined;
}

function restore(parameters) {
  const names = parameters.has("names") ? parameters.get("names").split(",").filter(Boolean) : state.names;
  const unknown = names.filter((name) => !rowOf(name));
  state.names = rows.map((row) => row.name).filter((name) => names.includes(name));
  for (const end of ["min", "max"]) if (parameters.has(end)) state[end] = Number(parameters.get(end));
  const about = parameters.get("about");
  if (about && rowOf(about)) state.about = about;
  else if (about) unknown.push(about);
  for (const row of rows) for (const parameter of movable(row)) restoreParameter(row, parameter, parameters);
  return unknown;
}

function restoreParameter(row, parameter, parameters) {
  const key = `${row.name}.${parameter.name}`;
  if (!parameters.has(key)) return;
  const text = parameters.get(key);
  state.parameters[key] = parameter.kind === "choice" ? text : Number(text);
}

function remember() {
  const changed = state.names.concat(state.about).flatMap((name) =>
    Object.entries(given(rowOf(name))).map(([parameter, value]) => [`${name}.${parameter}`, value]));
  const unique = [...new Map(changed)];
  const names = state.names.join(",") || ","; // none is not the same as not said
  write(ROOM, [["names", names], ["about", state.about], ...unique, ["min", state.min], ["max", state.max]]);
}

// --- controls ---

function drawControls() {
  byId("f-article").replaceChildren(...rows.filter((row) => row.in_article).map(chip));
  byId("f-others").replaceChildren(...rows.filter((row) => !row.in_article).map(chip));
  if (state.names.some((name) => !rowOf(name).in_article)) byId("f-more").open = true;
  byId("f-min").value = state.min;
  byId("f-max").value = state.max;
  setOptions(byId("f-about"), rows.map((row) => [row.name, row.title]), state.about);
  drawParameters();
}

function chip(row) {
  const box = el("input", { type: "checkbox", value: row.name });
  box.checked = state.names.includes(row.name);
  box.addEventListener("change", () => toggle(row.name, box.checked));
  return el("label", { class: "chip" }, box, swatch(placeOf(row.name)), el("span", { lang: "en" }, row.title));
}

function toggle(name, on) {
  state.names = rows.map((row) => row.name).filter((each) => (each === name ? on : state.names.includes(each)));
  drawParameters();
  say(null);
  refresh();
}

/** Of every function that is drawn, and of the one that is read about: its numbers below depend on them too. */
function drawParameters() {
  const wanted = [...state.names, state.about];
  const movables = rows.filter((row) => wanted.includes(row.name) && movable(row).length);
  byId("f-parameters").replaceChildren(...movables.map((row) =>
    el("fieldset", { class: "tile" },
      el("legend", {}, `${t("parametersOf")} ${row.title}`),
      ...movable(row).flatMap((parameter) => [
        parameter.kind === "choice" ? choice(row, parameter) : slider(row, parameter),
        english("p", parameter.description, { class: "quiet" })]))));
}

function choice(row, parameter) {
  const select = el("select", {});
  setOptions(select, parameter.choices.map((each) => [each, each]), valueOf(row, parameter));
  select.addEventListener("change", () => setParameter(row, parameter, select.value));
  return el("label", { class: "parameter" }, el("span", {}, parameter.name), select);
}

/** A slider over the useful part of a parameter's range, and a field for the whole of it. */
function slider(row, parameter) {
  const high = Math.min(parameter.maximum, parameter.default < 0.5 ? 1 : 3);
  const low = Math.max(parameter.minimum, -high);
  const value = valueOf(row, parameter);
  const name = `${row.title} ${parameter.name}`;
  const input = (type, min, max, step) => el("input", { type, min, max, step, value, "aria-label": name });
  const range = input("range", low, high, 0.01);
  const field = input("number", parameter.minimum, parameter.maximum, "any");
  const set = (from, other) => {
    if (from.value === "") return;
    other.value = from.value;
    setParameter(row, parameter, Number(from.value));
  };
  range.addEventListener("input", () => set(range, field));
  field.addEventListener("change", () => set(field, range));
  return el("div", { class: "parameter" }, el("span", { "aria-hidden": "true" }, parameter.name), range, field);
}

function setParameter(row, parameter, value) {
  state.parameters[`${row.name}.${parameter.name}`] = value;
  say(null);
  refresh();
}

// --- curves ---

function curvePath(row) {
  const query = new URLSearchParams({ min: state.min, max: state.max, points: POINTS, ...given(row) });
  return `/v1/activations/${row.name}/curve?${query}`;
}

let timer = 0;

/** Curves follow a slider at once; what takes many requests waits until it rests. */
function refresh() {
  remember();
  clearTimeout(timer);
  timer = setTimeout(told, 200);
  return drawn();
}

const drawn = latest(async (signal) => {
  if (!(state.min < state.max)) throw new Failure(t("badRange"));
  const paths = state.names.map((name) => curvePath(rowOf(name)));
  showCurl(byId("f-curl"), (paths.length ? paths : [`/v1/activations/${state.about}`]).map(curlGet).join("\n"));
  curves = await Promise.all(paths.map((path) => getJson(path, signal)));
  if (!signal.aborted) drawCharts();
});

function drawCharts() {
  byId("f-x").min = state.min;
  byId("f-x").max = state.max;
  state.x = Math.min(state.max, Math.max(state.min, state.x));
  byId("f-x").value = state.x;
  const wanted = [["f-plot", "y", t("function")], ["f-slope", "derivative", t("derivative")]];
  charts = curves.length ? wanted.map((each) => chartOf(...each)) : [];
  if (!curves.length) for (const [place] of wanted) byId(place).replaceChildren(el("p", {}, t("chooseFunction")));
  readValues();
}

function chartOf(place, what, label) {
  const lines = curves.map((curve) => (
    { name: curve.activation, x: curve.x, y: curve[what], look: look(placeOf(curve.activation)) }));
  const names = curves.map((curve) => rowOf(curve.activation).title).join(", ");
  const made = lineChart(lines, `${label}: ${names}; x ${state.min} … ${state.max}`);
  made.chart.addEventListener("pointermove", (event) => readAt(made.valueAt(event)));
  byId(place).replaceChildren(made.chart);
  return made;
}

function readAt(x) {
  state.x = x;
  byId("f-x").value = x;
  readValues();
}

/** The values of every curve at the reading line. */
function readValues() {
  for (const chart of charts) chart.mark(state.x);
  const near = Math.round(((state.x - state.min) / (state.max - state.min)) * (POINTS - 1));
  const rowsShown = curves.map((curve) => [
    el("span", { class: "named" }, swatch(placeOf(curve.activation)), rowOf(curve.activation).title),
    shown(curve.y[near]), shown(curve.derivative[near])]);
  const at = curves.length ? shown(curves[0].x[near]) : "";
  byId("f-values").replaceChildren(...table([`x = ${at}`, "f(x)", "f′(x)"], rowsShown).childNodes);
  byId("f-x").setAttribute("aria-valuetext", `x = ${at}`);
}

// --- what is said of one ---

const told = latest(async (signal) => {
  const row = await getOnce(`/v1/activations/${state.about}`);
  if (!signal.aborted) await tell(byId("f-article-text"), row, given(row), signal);
});

/** Listen to the controls that are always there. */
export function start() {
  for (const end of ["min", "max"]) {
    byId(`f-${end}`).addEventListener("change", (event) => {
      state[end] = Number(event.target.value);
      refresh();
    });
  }
  byId("f-x").addEventListener("input", (event) => {
    state.x = Number(event.target.value);
    readValues();
  });
  byId("f-about").addEventListener("change", (event) => {
    state.about = event.target.value;
    drawParameters();
    refresh();
  });
}
