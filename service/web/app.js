// The page: four rooms, of which the address says which one is shown and how.

import { getOnce, sayNothing } from "./api.js";
import * as claims from "./claims.js";
import * as compare from "./compare.js";
import { byId } from "./dom.js";
import * as functions from "./functions.js";
import * as inside from "./inside.js";
import { read, ROOMS } from "./state.js";
import { applyWords, choose, language, t } from "./words.js";

const rooms = { functions, compare, inside, claims };

function showRoom() {
  const { room, parameters } = read();
  for (const name of ROOMS) byId(`room-${name}`).hidden = name !== room;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.room === room) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${t(room)} – actserve`;
  sayNothing();
  rooms[room].show(parameters);
}

function speak() {
  applyWords();
  const other = language() === "zh" ? "en" : "zh";
  const button = byId("language");
  button.lang = other === "zh" ? "zh-CN" : "en";
  button.textContent = other === "zh" ? "中文" : "English";
}

async function showDevice() {
  const device = await getOnce("/v1/device").catch(() => null);
  if (device) byId("device").textContent = `${t("runsOn")} ${device.device} (${device.in_use.join(", ")}).`;
}

byId("language").addEventListener("click", () => {
  choose(language() === "zh" ? "en" : "zh");
  speak();
  showRoom();
  showDevice();
});

byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address holds the view
  byId("main").focus();
});

addEventListener("hashchange", () => {
  showRoom();
  scrollTo(0, 0);
  byId("main").focus({ preventScroll: true }); // what was followed may be gone from the page
});
for (const room of Object.values(rooms)) room.start();
speak();
showRoom();
showDevice();
