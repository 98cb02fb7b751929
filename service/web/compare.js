// The room that asks every CNN about one picture.

import { curlPicture, getOnce, latest, postPicture, showCurl } from "./api.js";
import { byId, el, percent } from "./dom.js";
import { drawChoice, picture, sampleName, useSample } from "./pictures.js";
import { write } from "./state.js";
import { t } from "./words.js";

const ROOM = "compare";
const PATH = "/v1/compare/models?top_k=5";

/** Show the room as a link has it. */
export function show(parameters) {
  if (parameters.has("sample")) useSample(parameters.get("sample"));
  return refresh();
}

function refresh() {
  write(ROOM, [["sample", sampleName()]]);
  drawChoice(byId("c-picture"), refresh);
  return asked();
}

const asked = latest(async (signal) => {
  const chosen = await picture(signal);
  showCurl(byId("c-curl"), curlPicture(PATH, chosen));
  const [answer, { models }] = await Promise.all([postPicture(PATH, chosen, signal), getOnce("/v1/models")]);
  if (signal.aborted) return;
  const votes = answer.agreement[0] ?? [];
  const labels = new Map(models.map((model) => [model.name, model.labels ?? []]));
  const knows = (result, label) => labels.get(result.model)?.includes(label) ?? true; // a model that is new
  drawAgreement(votes, (label) => answer.results.filter((result) => knows(result, label)).length);
  const majority = votes[0]?.label;
  byId("c-results").replaceChildren(
    ...answer.results.map((result) => card(result, knows(result, majority) ? majority : null)));
});

/** Who says what, of those whose classes it is one of. */
function drawAgreement(votes, count) {
  byId("c-agreement").replaceChildren(el("ul", { class: "votes" }, ...votes.map((vote) =>
    el("li", {},
      el("strong", {}, `${vote.models.length} ${t("with")} ${count(vote.label)} ${t("models")} `,
        `${t(vote.models.length === 1 ? "sees" : "see")} `, el("span", { lang: "en" }, vote.label)),
      ": ", vote.models.join(", ")))));
}

/** The classes that a model holds most likely, each with a bar. */
export function bars(prediction) {
  const rows = prediction.top.map((each) => {
    const bar = el("span", { class: "bar" });
    bar.style.width = `${100 * each.probability}%`;
    return el("li", {},
      el("span", { class: "label", lang: "en" }, each.label),
      el("span", { class: "track", "aria-hidden": "true" }, bar),
      el("span", { class: "share" }, percent(each.probability)));
  });
  return el("ol", { class: "bars", "aria-label": t("probability") }, ...rows);
}

/** A model's answer; it agrees with the majority or not, unless it does not know that class: `majority` is null then. */
function card(result, majority) {
  const [first] = result.predictions;
  const mark = majority === null ? "" : first.label === majority ? "agrees" : "differs";
  return el("article", { class: `tile ${mark}` },
    el("h3", {}, result.model),
    el("p", { class: "big" }, el("span", { lang: "en" }, first.label), " ",
      el("span", { class: "tag" }, { agrees: `✓ ${t("agrees")}`, differs: `≠ ${t("differs")}` }[mark] ?? "")),
    bars(first),
    el("p", { class: "quiet" }, `${t("took")}: ${result.compute_ms} ms`));
}

/** Nothing here is always there. */
export function start() {}
