// The room that looks into a CNN layer by layer, as it was trained and with another function in the place of its own.

import { curlPicture, Failure, getOnce, latest, postPicture, say, showCurl } from "./api.js";
import { bars } from "./compare.js";
import { byId, el, percent, setOptions, shown } from "./dom.js";
import { drawChoice, picture, sampleName, useSample } from "./pictures.js";
import { histogram } from "./plot.js";
import { write } from "./state.js";
import { drawSwaps } from "./swaps.js";
import { t } from "./words.js";

const ROOM = "inside";
const state = { model: "cnn-relu", activation: "" };
let models = [];
let functions = [];

/** Show the room as a link has it. */
export async function show(parameters) {
  try {
    const [known, catalogue] = await Promise.all([getOnce("/v1/models"), getOnce("/v1/activations")]);
    models = known.models.filter((model) => model.preprocessing);
    functions = catalogue.activations;
  } catch (error) {
    return say(error);
  }
  restore(parameters);
  drawControls();
  drawSwaps(byId("i-swaps"));
  return refresh();
}

function restore(parameters) {
  if (parameters.has("sample")) useSample(parameters.get("sample"));
  const { model, activation = "" } = Object.fromEntries(parameters);
  if (model && !models.some((each) => each.name === model)) say(new Failure(`${t("noModel")} ${model}`));
  else if (model) [state.model, state.activation] = [model, activation];
  if (!models.some((each) => each.name === state.model) && models.length) state.model = models[0].name;
  if (state.activation && !functions.some((each) => each.name === state.activation)) {
    say(new Failure(`${t("noFunction")} ${state.activation}`));
    state.activation = "";
  }
}

function drawControls() {
  setOptions(byId("i-model"), models.map((model) => [model.name, model.name]), state.model);
  const names = functions.map((row) => [row.name, row.title]);
  setOptions(byId("i-activation"), [["", t("asTrained")], ...names], state.activation);
}

function refresh() {
  write(ROOM, [["model", state.model], ["activation", state.activation], ["sample", sampleName()]]);
  drawChoice(byId("i-picture"), refresh);
  return asked();
}

const pathOf = (activation) =>
  `/v1/models/${encodeURIComponent(state.model)}/inspect?maps=true${activation ? `&activation=${activation}` : ""}`;

const asked = latest(async (signal) => {
  const chosen = await picture(signal);
  showCurl(byId("i-curl"), curlPicture(pathOf(state.activation), chosen));
  const wanted = state.activation ? ["", state.activation] : [""];
  const answers = await Promise.all(wanted.map((activation) => postPicture(pathOf(activation), chosen, signal)));
  if (signal.aborted) return;
  byId("i-predictions").replaceChildren(...answers.map(prediction));
  const versions = answers[0].layers.map((_, at) => answers.map((answer) => answer.layers[at]));
  byId("i-layers").className = answers.length === 1 ? "cards" : "";
  byId("i-layers").replaceChildren(...versions.map((each) => layer(each, answers)));
});

function caption(answer, at) {
  return at ? `${answer.activation} (${t("swapped")})` : `${answer.activation ?? answer.model} (${t("asTrained")})`;
}

function prediction(answer, at) {
  const [first] = answer.predictions ?? [];
  return el("article", { class: "tile" },
    el("h3", {}, caption(answer, at)),
    first ? el("p", { class: "big", lang: "en" }, first.label) : null,
    first ? bars(first) : null);
}

/** One layer: as trained, and beside it as swapped. */
function layer(versions, answers) {
  const [{ layer: number, shape, channels }] = versions;
  const where = t("layer").replace("#", number);
  return el("section", { class: "layer" },
    el("h3", {}, where, el("span", { class: "quiet" }, ` ${shape.join(" × ")}`)),
    el("div", { class: "pair" },
      ...versions.map((found, at) => version(found, caption(answers[at], at), where, channels))));
}

function version(found, name, where, channels) {
  const spreads = `${t("goesIn")} ${spread(found.before)}, ${t("comesOut")} ${spread(found.after)}`;
  const alt = `${t("maps")}, ${where}, ${name}: ${channels} ${t("channels")}`;
  const sheet = el("figure", { class: "sheet" },
    el("img", { class: "maps", src: found.maps, alt }), el("figcaption", {}, t("maps")));
  return el("div", { class: "tile version" },
    el("h4", {}, name),
    el("div", { class: "both" },
      el("div", { class: "numbers" },
        histogram(found.before, found.after, `${t("histogram")}, ${where}, ${name}: ${spreads}`),
        el("p", { class: "keys" }, key("before", t("goesIn")), " ", key("after", t("comesOut"))),
        facts(found)),
      sheet));
}

const key = (kind, text) => el("span", { class: `key ${kind}` }, text);
const spread = ({ mean, std }) => `${shown(mean, 3)} ±\u00a0${shown(std, 3)}`;

function facts(found) {
  const rows = [
    ["zeros", percent(found.zeros)],
    ["dead", `${found.dead.count} / ${found.channels}`],
    ["saturated", percent(found.saturated)],
    ["meanShare", percent(found.mean_share)],
    ["mean", spread(found.after)],
  ];
  return el("dl", { class: "facts" }, ...rows.flatMap(([word, value]) => [el("dt", {}, t(word)), el("dd", {}, value)]));
}

/** Listen to the controls that are always there. */
export function start() {
  for (const name of ["model", "activation"]) {
    byId(`i-${name}`).addEventListener("change", (event) => {
      state[name] = event.target.value;
      say(null);
      refresh();
    });
  }
}
