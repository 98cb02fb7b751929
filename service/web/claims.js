// The room of the article's claims: sentence, verdict, numbers, figure.

import { curlGet, getOnce, latest, pictureAddress, say, showCurl } from "./api.js";
import { byId, el, english, scrolling, setOptions, shown, table } from "./dom.js";
import { write } from "./state.js";
import { language, t, WORDS } from "./words.js";

const ROOM = "claims";
const VERDICTS = {
  holds: ["holds", "✓"],
  "holds in part": ["holdsInPart", "◐"],
  "does not hold here": ["doesNotHold", "✗"],
};
const state = { about: "", verdict: "" };

/** Show the room as a link has it. */
export function show(parameters) {
  for (const name of Object.keys(state)) state[name] = parameters.get(name) ?? "";
  return refresh();
}

function refresh() {
  write(ROOM, Object.entries(state));
  return asked();
}

function path() {
  const query = new URLSearchParams(Object.entries(state).filter(([, value]) => value)).toString();
  return query ? `/v1/claims?${query}` : "/v1/claims";
}

const asked = latest(async (signal) => {
  const all = await getOnce("/v1/claims");
  showCurl(byId("k-curl"), curlGet(path())); // by now it is known whether a key is needed
  drawControls(all.claims);
  const { claims } = await getOnce(path());
  if (signal.aborted) return;
  byId("k-count").textContent = `${claims.length} / ${all.claims.length} ${t("shownClaims")}`;
  byId("k-list").replaceChildren(...claims.map(card));
});

/** A function's own name; for what is no function, a word. */
const subject = (about) => (about in WORDS.en ? t(about) : about);

function drawControls(claims) {
  const subjects = [...new Set(claims.map((claim) => claim.about))];
  setOptions(byId("k-about"), [["", t("all")], ...subjects.map((about) => [about, subject(about)])], state.about);
  const verdicts = Object.entries(VERDICTS).map(([verdict, [word]]) => [verdict, t(word)]);
  setOptions(byId("k-verdict"), [["", t("all")], ...verdicts], state.verdict);
}

function card(claim) {
  const [word, mark] = VERDICTS[claim.verdict];
  const chinese = language() === "zh";
  return el("article", { class: `tile claim ${word}`, id: claim.id },
    el("h3", {}, el("span", { lang: chinese ? "zh-CN" : "en" }, chinese ? claim.sentence_zh : claim.sentence)),
    el("p", { class: "verdict" }, el("span", { "aria-hidden": "true" }, `${mark} `), t(word),
      el("span", { class: "quiet" }, ` · ${subject(claim.about)}`)),
    english("p", claim.because),
    numbers(claim),
    figure(claim, chinese),
    el("details", {},
      el("summary", {}, t("how")),
      el("dl", { class: "how" },
        el("dt", {}, t("method")), english("dd", claim.method),
        el("dt", {}, t("criterion")), english("dd", claim.criterion),
        el("dt", {}, t("command")), el("dd", {}, el("code", {}, claim.command)),
        el("dt", {}, t("measuredOn")), english("dd", `${claim.machine}, ${claim.date}`))));
}

const withUnit = (value, unit) => (unit ? `${shown(value)}\u00a0${unit}` : shown(value));

function numbers(claim) {
  const interval = (each) => (typeof each.low === "number" ? `${shown(each.low)} … ${shown(each.high)}` : "—");
  const columns = [
    ["number", (each) => el("span", { lang: "en" }, each.name)],
    ["value", (each) => withUnit(each.value, each.unit)],
    ["interval", interval],
    ["n", (each) => shown(each.n)],
    ["p", (each) => shown(each.p)],
  ]
    .map(([word, cell]) => [t(word), claim.numbers.map(cell)])
    .filter(([, cells]) => cells.some((cell) => cell !== "—"));
  const rows = claim.numbers.map((_, at) => columns.map(([, cells]) => cells[at]));
  return scrolling(`${t("number")}: ${claim.id}`, table(columns.map(([word]) => word), rows));
}

function figure(claim, chinese) {
  if (!claim.figure) return null;
  const words = `${t("figureOf")} ${chinese ? claim.sentence_zh : claim.sentence}`;
  const image = el("img", { class: "evidence", alt: words, loading: "lazy" });
  const link = el("a", {}, image);
  pictureAddress(`/v1/claims/${claim.id}/figure`).then((address) => {
    image.src = address;
    link.href = address;
  }, (error) => say(error, link));
  return link;
}

/** Listen to the controls that are always there. */
export function start() {
  for (const name of Object.keys(state)) {
    byId(`k-${name}`).addEventListener("change", (event) => {
      state[name] = event.target.value;
      refresh();
    });
  }
}
