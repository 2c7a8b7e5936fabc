// Where we are: which workspace, as whom, in which conversation and thread. The address bar remembers it.

import { api } from "./api.js";

export const BOT = "bot";
export const world = { workspaces: [], users: [], channels: [], ims: [], installs: [], shortcuts: [], urls: {} };
export const place = { team: "", user: "", channel: "", thread: "" };

export async function loadWorld() {
  Object.assign(world, await api.state());
}

export function readAddress() {
  const [, team, user, channel, thread] = location.hash.split("/").map(decodeURIComponent);
  place.team = world.workspaces.some((one) => one.id === team) ? team : world.workspaces[0].id;
  const people = peopleOf(place.team);
  place.user = people.some((one) => one.id === user) ? user : people[0].id;
  const channels = channelsOf(place.team);
  place.channel = channel === BOT || channels.some((one) => one.id === channel) ? channel : channels[0].id;
  place.thread = place.channel === BOT ? "" : thread ?? "";
}

export function go(change) {
  const next = { ...place, ...change };
  if (change.team && change.team !== place.team) Object.assign(next, { user: "", channel: "", thread: "", ...change });
  else if ("channel" in change && !("thread" in change)) next.thread = "";
  location.hash = ["#", next.team, next.user, next.channel, next.thread].map(encodeURIComponent).join("/").replace("%23", "");
}

export function workspace(team = place.team) {
  return world.workspaces.find((one) => one.id === team);
}

export function peopleOf(team) {
  return world.users.filter((one) => one.team === team && !one.is_bot && !one.deleted);
}

export function channelsOf(team) {
  return world.channels.filter((one) => one.team === team && !one.is_archived);
}

export function channelNow() {
  return world.channels.find((one) => one.id === place.channel);
}

export function person(id = place.user) {
  return world.users.find((one) => one.id === id);
}

export function install(team = place.team) {
  return world.installs.find((one) => one.team === team && one.installed);
}

// What the app adds to the menu of a message; Slack shows it only where the app may.
export function shortcuts() {
  return install()?.scopes.includes("commands") ? world.shortcuts : [];
}

export function botUser(team = place.team) {
  return install(team)?.bot_user_id ?? world.users.find((one) => one.team === team && one.is_bot)?.id;
}

export function isBotHere() {
  return place.channel === BOT ? Boolean(install()) : Boolean(channelNow()?.members.includes(botUser()));
}

// The id of the conversation on screen; a person's direct messages have the person's own number.
export function channelId() {
  return place.channel === BOT ? `D${place.user.slice(1)}` : place.channel;
}

export function nameOf(id) {
  const user = world.users.find((one) => one.id === id);
  if (user) return user.real_name;
  const channel = world.channels.find((one) => one.id === id);
  if (channel) return channel.name;
  return id === "USLACKBOT" ? "Slackbot" : /^U0BOT/.test(id) ? "EnableBot" : undefined;
}

export function landingPage() {
  try {
    return `${new URL(world.urls.redirect_url).origin}/`;
  } catch {
    return document.body.dataset.landing;
  }
}

export function key() {
  return [place.team, place.user, place.channel, place.thread].join("/");
}
