// The room that asks every CNN about one picture.

import { curlPicture, latest, postPicture, showCurl } from "./api.js";
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
  const answer = await postPicture(PATH, chosen, signal);
  if (signal.aborted) return;
  const votes = answer.agreement[0] ?? [];
  drawAgreement(votes, answer.results.length);
  byId("c-results").replaceChildren(...answer.results.map((result) => card(result, votes[0]?.label)));
});

function drawAgreement(votes, models) {
  byId("c-agreement").replaceChildren(el("ul", { class: "votes" }, ...votes.map((vote) =>
    el("li", {},
      el("strong", {}, `${vote.models.length} ${t("with")} ${models} ${t("models")} `,
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

function card(result, majority) {
  const [first] = result.predictions;
  const agrees = first.label === majority;
  return el("article", { class: `tile ${agrees ? "agrees" : "differs"}` },
    el("h3", {}, result.model),
    el("p", { class: "big" }, el("span", { lang: "en" }, first.label), " ",
      el("span", { class: "tag" }, agrees ? `✓ ${t("agrees")}` : `≠ ${t("differs")}`)),
    bars(first),
    el("p", { class: "quiet" }, `${t("took")}: ${result.compute_ms} ms`));
}

/** Nothing here is always there. */
export function start() {}
