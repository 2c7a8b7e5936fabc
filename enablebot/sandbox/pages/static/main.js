// Wires the page: the world is loaded once, then every change arrives by itself.

import { api, listen } from "./api.js";
import { enter, focusWriter, hear, isWriting, prepare } from "./conversation.js";
import { byId, replace, toast } from "./dom.js";
import { prepareDrawer, refreshDrawer } from "./drawer.js";
import { BOT, channelNow, go, install, key, loadWorld, place, readAddress, workspace } from "./place.js";
import { drawRail, drawTeams, markUnread } from "./rail.js";

const WORLDLY = new Set(["install", "channel", "reset", "reconnected", "prompts"]);
let watched = "";
let hangUp = () => {};
let visited = "";

async function arrive() {
  readAddress();
  if (watched !== place.team) {
    hangUp();
    watched = place.team;
    hangUp = listen(place.team, { heard, state: showConnection });
  }
  await draw();
  openApp();
}

async function draw() {
  document.title = `${place.channel === BOT ? "EnableBot" : `#${channelNow().name}`} – ${workspace().name} – sandbox`;
  drawTeams();
  drawRail();
  await enter();
}

// Slack tells an app each time a person opens it.
function openApp() {
  const visit = place.channel === BOT && install() ? `${place.team}/${place.user}` : "";
  if (visit && visit !== visited) api.openApp({ team: place.team, user: place.user }).catch(() => {});
  visited = visit;
}

async function heard(change) {
  refreshDrawer();
  if (WORLDLY.has(change.what)) {
    await loadWorld();
    await draw();
    openApp();
  } else if (!hear(change) && change.what === "message" && isMine(change.channel)) {
    markUnread(change.channel);
    drawRail();
  }
}

function isMine(channel) {
  return !channel.startsWith("D") || channel === `D${place.user.slice(1)}`;
}

function isWide() {
  return matchMedia("(min-width: 900px)").matches;
}

function showConnection(open) {
  byId("connection").classList.toggle("lost", !open);
  replace(byId("connection"), open ? "" : "Connection lost. Trying again…");
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open], details.menu[open]")) return;
  if (byId("app").classList.contains("rail-open")) byId("app").classList.remove("rail-open");
  else if (place.thread) {
    go({ thread: "" });
    byId("composer-text").focus();
  }
});
byId("channel").addEventListener("click", (event) => {
  if (!event.target.closest(".menu-button")) byId("app").classList.remove("rail-open");
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  focusWriter();
});

// With the mouse, going somewhere means wanting to write there; the keyboard stays where it is.
let byPointer = false;
addEventListener("pointerdown", () => { byPointer = true; }, true);
addEventListener("keydown", () => { byPointer = false; }, true);
addEventListener("hashchange", async () => {
  const before = { ...place };
  await arrive();
  const isNewThread = place.thread && place.thread !== before.thread;
  if ((isNewThread && !isWriting()) || (byPointer && isWide() && !place.thread)) focusWriter();
});

try {
  await loadWorld();
  prepare();
  prepareDrawer();
  await arrive();
  refreshDrawer();
  document.body.dataset.ready = key();
  if (isWide()) focusWriter();
} catch (error) {
  toast(error.message, { bad: true });
}
