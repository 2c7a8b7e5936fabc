// The left side: workspaces, channels, the bot, and who you are.

import { api } from "./api.js";
import { byId, button, confirmWith, h, icon, ICONS, redraw, toast } from "./dom.js";
import { BOT, channelsOf, go, install, landingPage, peopleOf, place, workspace, world } from "./place.js";

const unread = new Set();

export function avatar(name, { bot = false, small = false } = {}) {
  const tint = [...name].reduce((sum, letter) => sum + letter.codePointAt(0), 0) % 6;
  const kind = bot ? "avatar bot" : `avatar tint-${tint}`;
  return h("span", { class: small ? `${kind} small` : kind, "aria-hidden": "true" }, bot ? botFace() : name.slice(0, 1));
}

function botFace() {
  return icon("M5 6h10M5 10h6M5 14h10");
}

export function markUnread(channel) {
  unread.add(channel);
}

export function drawTeams() {
  redraw(byId("teams"), world.workspaces.map((team) =>
    h("button", {
      type: "button",
      class: "team",
      title: team.name,
      "aria-label": `Workspace ${team.name}`,
      "aria-current": team.id === place.team ? "true" : null,
      onclick: () => go({ team: team.id }),
    }, team.name.slice(0, 1))));
}

export function drawRail() {
  const here = place.channel === BOT ? `D${place.user.slice(1)}` : place.channel;
  unread.delete(here);
  const installed = install();
  redraw(byId("rail"),
    h("div", { class: "rail-head" }, h("h1", {}, workspace().name), installed ? appMenu() : null),
    h("nav", { "aria-label": "Conversations" },
      h("h2", {}, "Channels"),
      h("ul", {}, channelsOf(place.team).map((channel) => entry({
        to: channel.id, id: channel.id, label: channel.name, lead: h("span", { class: "hash", "aria-hidden": "true" }, "#"),
      }))),
      h("h2", {}, "Direct messages"),
      h("ul", {}, entry({
        to: BOT, id: `D${place.user.slice(1)}`, label: "EnableBot", lead: avatar("EnableBot", { bot: true, small: true }),
        note: installed ? null : "not installed",
      }))),
    h("div", { class: "people", role: "group", "aria-label": "Who you are" },
      h("h2", {}, "You are"),
      h("ul", {}, peopleOf(place.team).map((person) => h("li", {}, h("button", {
        type: "button",
        class: "person",
        "aria-pressed": String(person.id === place.user),
        onclick: () => go({ user: person.id }),
      }, avatar(person.real_name, { small: true }), h("span", { class: "person-name" }, person.real_name), role(person)))))));
}

function role(person) {
  const word = person.is_admin ? "admin" : person.is_restricted ? "guest" : "";
  return word ? h("span", { class: "note" }, word) : null;
}

function entry({ to, id, label, lead, note }) {
  const isUnread = unread.has(id) && place.channel !== to;
  return h("li", {}, h("button", {
    type: "button",
    class: isUnread ? "entry unread" : "entry",
    "aria-current": place.channel === to ? "page" : null,
    onclick: () => {
      byId("app").classList.remove("rail-open");
      go({ channel: to });
    },
  }, lead, h("span", { class: "entry-label" }, label), note ? h("span", { class: "note" }, note) : null,
  isUnread ? h("span", { class: "dot" }, h("span", { class: "hidden" }, "new messages")) : null));
}

function appMenu() {
  const menu = h("details", { class: "menu" },
    h("summary", { "aria-label": "More about EnableBot in this workspace", title: "More" }, icon(ICONS.more)),
    h("div", { class: "menu-body" },
      h("a", { class: "menu-item", href: landingPage(), target: "_blank", rel: "noopener" }, "Open EnableBot’s website"),
      button("Uninstall EnableBot…", { kind: "menu-item danger-text", onclick: () => uninstall(menu) })));
  menu.addEventListener("focusout", (event) => {
    if (!menu.contains(event.relatedTarget)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  return menu;
}

async function uninstall(menu) {
  menu.open = false;
  const name = workspace().name;
  const agreed = await confirmWith({
    title: `Uninstall EnableBot from ${name}?`,
    text: "Its token dies at once, and it is told so with app_uninstalled and tokens_revoked. The messages stay.",
    yes: "Uninstall",
    danger: true,
  });
  if (!agreed) return;
  try {
    await api.uninstall(place.team);
    toast(`EnableBot was uninstalled from ${name}.`);
  } catch (error) {
    toast(error.message, { bad: true });
  }
}
