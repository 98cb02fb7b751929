// What is said of one function: the article's text, where it saturates, how exact its kernels are.

import { el, english, scrolling, shown, table } from "./dom.js";
import { saturation } from "./saturation.js";
import { address } from "./state.js";
import { t } from "./words.js";

const DTYPES = ["float16", "float32", "float64"];

/** Tell it in a place; where it saturates comes later, for it is asked of the service, with these parameters. */
export async function tell(place, row, parameters, signal) {
  const found = el("div", { id: "f-saturation" }, el("p", { class: "quiet" }, t("asking")));
  place.replaceChildren(
    ...story(row),
    section("saturation", el("p", {}, t("saturationLead")), found),
    section("accuracy", el("p", {}, t("accuracyLead")), accuracy(row)));
  const ends = await Promise.all(DTYPES.map((dtype) => saturation(row, parameters, dtype, signal)));
  if (!signal.aborted) found.replaceChildren(saturated(ends));
}

const section = (word, ...children) => el("section", {}, el("h4", {}, t(word)), ...children);

function list(word, texts) {
  const items = texts.map((text) => el("li", {}, text));
  return items.length ? section(word, el("ul", { lang: "en" }, ...items)) : null;
}

function story(row) {
  return [
    el("h3", { lang: "en" }, row.title),
    english("p", row.description),
    scrolling(t("formula"),
      el("p", {}, `${t("formula")}: `, el("code", {}, row.formula)),
      el("p", {}, el("code", {}, row.derivative_formula))),
    el("p", {}, `${t("range")}: `, el("code", {}, row.range)),
    el("div", { class: "pair" }, list("advantages", row.advantages), list("drawbacks", row.drawbacks)),
    list("uses", row.uses),
    list("notes", row.notes),
    toClaims(row),
  ].filter(Boolean);
}

function toClaims({ name, claims }) {
  if (!claims.length) return null;
  return el("p", {}, el("a", { href: address("claims", [["about", name]]) }, `${t("claimsAbout")} (${claims.length})`));
}

function saturated(ends) {
  const cell = (end, sign) =>
    (end ? `${t(sign)} ${shown(end.from, 5)}; ${t("itIs")} ${shown(end.limit)}` : t("never"));
  const rows = DTYPES.map((dtype, at) => [dtype, cell(ends[at].minus, "flatBelow"), cell(ends[at].plus, "flatAbove")]);
  return scrolling(t("saturation"), table([t("dtype"), t("towardsMinus"), t("towardsPlus")], rows));
}

/** Over all finite x; of what works along an axis, over rows of random numbers. */
function accuracy({ accuracy: measured, elementwise }) {
  const of = { function: t("function"), derivative: t("derivative") };
  const records = measured.records.filter((record) => !elementwise || record.domain === "all finite");
  const rows = records.map((record) => [
    record.dtype, record.kernel, of[record.of] ?? record.of, el("span", { lang: "en" }, record.domain),
    shown(record.max_ulp), shown(record.at), shown(record.max_absolute_error)]);
  const head = ["dtype", "kernel", "of", "inputs", "maxUlp", "atX", "maxAbsolute"].map((word) => t(word));
  const source = `${measured.command}; ${measured.machine}; ONNX Runtime ${measured.onnxruntime}`;
  return el("div", {}, scrolling(t("accuracy"), table(head, rows)), english("p", source, { class: "quiet" }));
}
