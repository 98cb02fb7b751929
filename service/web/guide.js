// How to choose: the article's advice by task, what is to be said against it, and what was measured.

import { getOnce } from "./api.js";
import { el, english, percent } from "./dom.js";
import { address } from "./state.js";
import { t } from "./words.js";

/** Draw the advice for each task. */
export async function drawGuide(place) {
  const { guide } = await getOnce("/v1/guide");
  place.replaceChildren(
    el("h3", {}, t("guide")),
    el("p", {}, t("guideLead")),
    el("div", { class: "tiles" }, ...guide.map(card)));
}

function card({ title, activations, advice, caveats, measured }) {
  return el("article", { class: "tile" },
    el("h4", { lang: "en" }, title),
    el("p", {}, english("strong", advice), " ", el("a", { href: curves(activations) }, t("showCurves"))),
    el("ul", { lang: "en" }, ...caveats.map((text) => el("li", {}, text))),
    measured.length ? el("p", {}, `${t("measuredAccuracy")}: ${measured.map(inWords).join(", ")}`) : null);
}

const curves = (names) => address("functions", [["names", names.join(",")], ["about", names[0]]]);

const inWords = ({ model, validation_accuracy: share }) => `${model} ${percent(share)}`;
