// The choice of a picture, which two rooms share: ten samples, a file, or one that is dropped. A picture of one's own
// stays in this window; links keep the last sample.

import { Failure, say } from "./api.js";
import { el } from "./dom.js";
import { t } from "./words.js";

export const SAMPLES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

let own = null;
let sample = "horse";
let address = "";

/** The sample that links name. */
export const sampleName = () => sample;

/** Take a sample by name, as a link has it; says so if there is none of that name. */
export function useSample(name) {
  if (name === sample && own) return; // coming back to a room with one's own picture
  if (SAMPLES.includes(name)) take(name);
  else say(new Failure(`${t("noSample")} ${name}`));
}

function take(name) {
  own = null;
  sample = name;
}

/** The picture to send: `{blob, type, sample}`. */
export async function picture(signal) {
  if (own) return { blob: own, type: own.type, sample: null };
  const response = await fetch(`/web/samples/${sample}.jpg`, { signal });
  return { blob: await response.blob(), type: "image/jpeg", sample };
}

function takeFile(file, changed) {
  if (!file) return;
  if (!file.type.startsWith("image/")) {
    say(new Failure(`${t("noPicture")} ${file.name}`));
    return;
  }
  say(null);
  own = file;
  URL.revokeObjectURL(address);
  address = URL.createObjectURL(file);
  changed();
}

function sampleButton(name, changed) {
  const pressed = !own && name === sample;
  const button = el("button", { type: "button", class: "sample", "data-sample": name, "aria-pressed": String(pressed) },
    el("img", { src: `/web/samples/${name}.jpg`, alt: t(name), width: 56, height: 56 }));
  button.addEventListener("click", () => {
    take(name);
    say(null);
    changed();
  });
  return button;
}

function fileInput(changed) {
  const input = el("input", { type: "file", accept: "image/*", "data-sample": "own" });
  input.addEventListener("change", () => takeFile(input.files[0], changed));
  return el("label", {}, el("span", {}, t("file")), " ", input);
}

function acceptDrops(zone, changed) {
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    takeFile(event.dataTransfer.files[0], changed);
  });
}

/** Draw the choice into a place; `changed` is called with each new picture. */
export function drawChoice(place, changed) {
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.sample : null;
  const source = own ? address : `/web/samples/${sample}.jpg`;
  const name = own ? own.name : t(sample);
  const zone = el("div", { class: "drop" },
    el("img", { class: "chosen", src: source, alt: `${t("picture")}: ${name}` }),
    el("div", {},
      el("p", {}, t("drop")),
      el("div", { class: "samples", role: "group", "aria-label": t("samples") },
        ...SAMPLES.map((each) => sampleButton(each, changed))),
      el("p", {}, fileInput(changed)),
      own ? el("p", { class: "note" }, `${own.name}: ${t("ownPicture")}`) : null));
  acceptDrops(zone, changed);
  place.replaceChildren(zone);
  if (focused) place.querySelector(`[data-sample=${focused}]`).focus();
}
