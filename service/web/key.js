// The key of a service that asks for one: asked for in a dialog, kept for this tab only, sent with every request.

import { el } from "./dom.js";
import { t } from "./words.js";

const NAME = "actserve-key";

function read() {
  try {
    return sessionStorage.getItem(NAME);
  } catch {
    return null; // nothing may be stored here: it is asked for again when the page is
  }
}

let key = read();
let asking = null;

/** Whether requests carry a key. */
export const hasKey = () => Boolean(key);

/** Headers with the key, if there is one. */
export const withKey = (headers = {}) => (key ? { ...headers, "X-API-Key": key } : headers);

/** What a command shows in place of the key, which nobody should copy along by accident. */
export const keyOption = () => (key ? ` -H "X-API-Key: $ACTSERVE_KEY"` : "");

/** Ask for the key, once for all requests that need it; true when one was given. */
export function askForKey(wrong) {
  asking ??= dialog(wrong).finally(() => {
    asking = null;
  });
  return asking;
}

function dialog(wrong) {
  const field = el("input", { type: "password", name: "key", autocomplete: "current-password", required: true, id: "key" });
  const form = el("form", { method: "dialog" },
    el("p", {}, t(wrong ? "keyWrong" : "keyNeeded")),
    el("p", {}, el("label", { for: "key" }, t("key")), " ", field),
    el("p", {}, el("button", { type: "submit", value: "given" }, t("keyUse")), " ",
      el("button", { type: "submit", value: "", formnovalidate: true }, t("keyNone"))));
  const box = el("dialog", { "aria-label": t("key") }, form);
  document.body.append(box);
  box.showModal();
  return new Promise((resolve) => {
    box.addEventListener("close", () => {
      box.remove();
      if (box.returnValue) keep(field.value);
      resolve(Boolean(box.returnValue));
    });
  });
}

function keep(given) {
  key = given;
  try {
    sessionStorage.setItem(NAME, given);
  } catch {
    // as above
  }
}
