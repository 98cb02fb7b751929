// The table of what each swap leaves of the accuracy, if this service has measured it.

import { getOnce } from "./api.js";
import { el, percent, scrolling, table } from "./dom.js";
import { address } from "./state.js";
import { t } from "./words.js";

/** Draw the table; hide it where nothing was measured. */
export async function drawSwaps(place) {
  let found;
  try {
    found = await getOnce("/v1/swaps");
  } catch {
    place.hidden = true;
    return;
  }
  place.hidden = false;
  place.replaceChildren(
    el("h3", {}, t("swaps")),
    el("p", {}, t("swapsLead")),
    scrolling(t("swaps"), table([t("model"), ...found.functions], found.models.map((model) =>
      [model, ...found.functions.map((name) => cell(model, name, found.accuracy[model]?.[name]))]))),
  );
}

function cell(model, name, accuracy) {
  if (typeof accuracy !== "number") return "—";
  const href = address("inside", [["model", model], ["activation", name]]);
  const link = el("a", { class: "swap", href }, percent(accuracy));
  link.style.setProperty("--share", `${Math.round(60 * accuracy)}%`);
  return link;
}
