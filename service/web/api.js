// Requests to the service, their errors in words, and each of them as a curl command.

import { byId, el } from "./dom.js";
import { askForKey, hasKey, keyOption, withKey } from "./key.js";
import { t } from "./words.js";

/** An answer that is an error, or no answer; its message is for people. */
export class Failure extends Error {}

async function fetched(path, options) {
  try {
    return await fetch(path, { ...options, headers: withKey(options.headers) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(t("unreachable"));
  }
}

/** The answer to a request; where it needs a key, to that with the key that is asked for. */
async function response(path, options) {
  let found = await fetched(path, options);
  while ([401, 403].includes(found.status) && await askForKey(found.status === 403)) {
    found = await fetched(path, options);
  }
  return found;
}

async function answered(path, options) {
  const found = await response(path, options);
  const text = await found.text();
  if (found.ok) return JSON.parse(text);
  const failure = new Failure(inWords(text) || `${t("refused")} ${found.status}`);
  failure.status = found.status;
  throw failure;
}

function inWords(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return "";
  }
}

const kept = new Map();

/** GET what does not change while the page is open; asked for once. */
export function getOnce(path) {
  if (!kept.has(path)) {
    const coming = answered(path, {});
    kept.set(path, coming);
    coming.catch(() => kept.delete(path));
  }
  return kept.get(path);
}

const pictures = new Map();

/** The address of a picture that the service makes; with a key a copy's, for an `<img>` does not send one. */
export async function pictureAddress(path) {
  if (!hasKey()) return path;
  if (!pictures.has(path)) pictures.set(path, response(path, {}).then(copied));
  return pictures.get(path);
}

async function copied(found) {
  if (!found.ok) throw new Failure(`${t("refused")} ${found.status}`);
  return URL.createObjectURL(await found.blob());
}

/** GET JSON. */
export const getJson = (path, signal) => answered(path, { signal });

/** POST a JSON body. */
export const postJson = (path, body, signal) => {
  const headers = { "Content-Type": "application/json" };
  return answered(path, { method: "POST", body: JSON.stringify(body), headers, signal });
};

/** POST a picture: `{blob, type}`. */
export const postPicture = (path, picture, signal) =>
  answered(path, { method: "POST", body: picture.blob, headers: { "Content-Type": picture.type }, signal });

const errors = new Map();
let pending = 0;

/** Show an error in words, or none; each source has one of its own, which its next success takes away. */
export function say(error, source = "room") {
  if (error && error.name === "AbortError") return;
  if (error) errors.set(source, error instanceof Failure ? error.message : `${t("broken")} ${error.message}`);
  else errors.delete(source);
  byId("alert").replaceChildren(...[...new Set(errors.values())].map((text) =>
    el("p", {}, el("strong", {}, t("error")), " ", text)));
}

/** Forget all errors, for another room is shown. */
export function sayNothing() {
  errors.clear();
  say(null);
}

function busy(change) {
  pending += change;
  byId("status").textContent = pending ? t("asking") : "";
}

/** Runs the latest call only: one that is overtaken is aborted; an error is shown in words. */
export function latest(work) {
  let controller = new AbortController();
  return async (...given) => {
    controller.abort();
    controller = new AbortController();
    const { signal } = controller;
    busy(1);
    try {
      await work(signal, ...given);
      if (!signal.aborted) say(null, work);
    } catch (error) {
      if (!signal.aborted) say(error, work);
    } finally {
      busy(-1);
    }
  };
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A GET as a command. */
export const curlGet = (path) => `curl -s ${quoted(location.origin + path)}${keyOption()}`;

/** A picture's POST as a command; a sample is fetched from the service, so that it works anywhere. */
export function curlPicture(path, picture) {
  const post = `curl -s ${quoted(location.origin + path)} -H ${quoted(`Content-Type: ${picture.type}`)}${keyOption()} --data-binary`;
  return picture.sample
    ? `curl -s ${quoted(`${location.origin}/web/samples/${picture.sample}.jpg`)} | ${post} @-`
    : `${post} @picture.${picture.type.replace("image/", "").replace("jpeg", "jpg")}`;
}

/** Show the request behind a view as a command, with a button that copies it. */
export function showCurl(place, command) {
  const text = el("pre", { class: "curl", tabindex: "0", role: "region", "aria-label": t("request") }, command);
  const button = el("button", { type: "button" }, t("copy"));
  const note = el("span", { role: "status" });
  button.addEventListener("click", () => copy(command, text, note));
  place.replaceChildren(el("div", { class: "request" }, el("p", {}, button, " ", note), text));
}

async function copy(command, text, note) {
  try {
    await navigator.clipboard.writeText(command);
    note.textContent = t("copied");
  } catch {
    getSelection().selectAllChildren(text); // without a secure context there is no clipboard: the keys still work
    note.textContent = t("copyByKeys");
  }
}
