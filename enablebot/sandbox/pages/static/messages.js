// Messages on screen: each is redrawn only when it changed, so that reading and clicking are not disturbed.

import { api } from "./api.js";
import { blocks } from "./blocks.js";
import { inBytes } from "./composer.js";
import { button, h, icon, ICONS, toast } from "./dom.js";
import { rendered } from "./markdown.js";
import { botUser, go, nameOf, place, shortcuts } from "./place.js";
import { avatar } from "./rail.js";

const GROUP_SECONDS = 300;
const prints = new WeakMap();

// Brings `list` to the wanted rows, in order; a row is {key, print, make}, `print` everything its picture depends on.
export function reconcile(list, rows) {
  const known = new Map([...list.children].map((child) => [child.dataset.key, child]));
  const wanted = rows.map((row) => {
    const present = known.get(row.key);
    if (present && prints.get(present) === row.print) return present;
    const made = row.make();
    made.dataset.key = row.key;
    prints.set(made, row.print);
    if (present && present.contains(document.activeElement)) keepFocus(present, made);
    return made;
  });
  const same = wanted.length === list.children.length && wanted.every((node, at) => list.children[at] === node);
  if (same) return;
  const keep = new Set(wanted);
  for (const child of [...list.children]) if (!keep.has(child)) child.remove();
  wanted.forEach((node, at) => {
    if (list.children[at] !== node) list.insertBefore(node, list.children[at] ?? null);
  });
}

function keepFocus(old, made) {
  const controls = [...old.querySelectorAll("button, a, [tabindex]")];
  const at = controls.indexOf(document.activeElement);
  queueMicrotask(() => made.querySelectorAll("button, a, [tabindex]")[at]?.focus());
}

// The rows of messages. `threads` lets a row lead to its thread; `sessions` tells what the bot is doing in each.
export function rowsOf(messages, { channel, threads, sessions }) {
  const rows = [];
  let last = null;
  for (const message of messages) {
    if (message.ephemeral_to && message.ephemeral_to !== place.user) continue;
    const follows = last && last.user === message.user && !message.subtype && !last.subtype &&
      message.ts - last.ts < GROUP_SECONDS && !last.reply_count && !last.ephemeral_to && !message.ephemeral_to;
    const day = new Date(message.ts * 1000).toDateString();
    if (!last || new Date(last.ts * 1000).toDateString() !== day) {
      rows.push({ key: `day-${message.ts}`, print: day, make: () => divider(message.ts) });
    }
    const grouped = Boolean(follows);
    const working = threads ? workingIn(sessions.get(message.ts)) : "";
    const author = nameOf(message.user) ?? "";
    rows.push({
      key: message.ts,
      print: JSON.stringify([message, grouped, working, author, place.user, shortcuts().length]),
      make: () => row(message, { channel, threads, grouped, working }),
    });
    last = message;
  }
  return rows;
}

export function workingIn(session) {
  if (!session || session.status !== "processing") return "";
  const line = (session.line || "").replace(/^is\s+/i, "");
  return line ? `EnableBot is ${line}` : "EnableBot is working…";
}

// The line that says the bot is busy in a thread, with its stop button.
export function workingRow(session, channel) {
  const line = workingIn(session);
  return {
    key: `working-${session.thread_ts}`,
    print: `${line} ${JSON.stringify(session.loading_messages ?? [])} ${place.user}`,
    make: () => h("div", { class: "working", role: "status" },
      avatar("EnableBot", { bot: true, small: true }),
      h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")),
      h("span", {}, line),
      stopButton(channel, session.thread_ts)),
  };
}

function divider(ts) {
  const date = new Date(ts * 1000);
  const today = new Date().toDateString() === date.toDateString();
  const words = today ? "Today" : date.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long" });
  return h("div", { class: "day", role: "separator" }, h("span", {}, words));
}

function row(message, { channel, threads, grouped, working }) {
  const bot = Boolean(message.bot_id) || message.user === botUser();
  const name = message.username || nameOf(message.user) || message.user;
  const streams = message.streaming_state === "in_progress";
  const gone = message.subtype === "tombstone";
  const mine = message.user === place.user;
  const root = message.thread_ts && message.thread_ts !== message.ts ? message.thread_ts : message.ts;
  const text = body(message);
  const edited = message.edited && !gone ? h("span", { class: "edited" }, "(edited)") : null;
  return h("article", { class: ["message", grouped && "grouped", bot && "from-bot", streams && "streams", gone && "gone"].filter(Boolean).join(" "), "aria-label": `${name}, ${clock(message.ts)}`, "aria-busy": streams ? "true" : null },
    grouped ? h("time", { class: "side-time" }, clock(message.ts).replace(/\s*[AP]M$/i, "")) : avatar(name, { bot }),
    h("div", { class: "message-main" },
      grouped ? null : h("p", { class: "message-head" }, h("strong", {}, name), bot ? h("span", { class: "badge" }, "app") : null, h("time", { datetime: new Date(message.ts * 1000).toISOString() }, clock(message.ts))),
      message.ephemeral_to ? h("p", { class: "only-you" }, "Only visible to you") : null,
      text,
      files(message),
      text ? edited : null,
      message.streaming_state === "errored" ? h("p", { class: "broken-off" }, "The stream broke off before it was finished.") : null,
      blocks(message, channel),
      text ? null : edited,
      reactions(message),
      streams ? h("div", { class: "stream-foot" }, stopButton(channel, root)) : null,
      threads ? threadLink(message, working) : null),
    tools(message, { channel, threads, mine: mine && !gone }));
}

function body(message) {
  const dialect = message.format === "markdown" ? "markdown" : "mrkdwn";
  const drawn = (message.blocks ?? []).some((block) => !["rich_text", "task_card", "plan", "context_actions", "actions"].includes(block.type));
  const streamed = Boolean(message.streaming_state);
  // Blocks replace the text, which is then only there for notifications; below a stream they come in addition.
  if (drawn && !streamed && dialect === "mrkdwn") return null;
  const nodes = rendered(message.text, { dialect, names: nameOf });
  const element = h("div", { class: "message-body" }, nodes);
  if (message.streaming_state === "in_progress") lastLine(element).append(h("span", { class: "caret", "aria-hidden": "true" }));
  return element;
}

function lastLine(element) {
  let at = element;
  while (at.lastElementChild && ["P", "UL", "OL", "LI", "BLOCKQUOTE", "PRE", "CODE"].includes(at.lastElementChild.tagName)) {
    if (at.lastElementChild.tagName === "CODE" && at.tagName !== "PRE") break;
    at = at.lastElementChild;
  }
  return at;
}

function threadLink(message, working) {
  const count = message.reply_count ?? 0;
  if (!count && !working) return null;
  const label = count ? `${count} ${count === 1 ? "reply" : "replies"}` : "Thread";
  return h("button", { type: "button", class: "thread-link", onclick: () => go({ thread: message.ts }) },
    h("span", { class: "faces" }, (message.reply_users ?? []).slice(0, 3).map((user) => avatar(nameOf(user) ?? "?", { bot: user === botUser(), small: true }))),
    h("span", { class: "thread-count" }, label),
    working ? h("span", { class: "thread-working" }, h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), working)
      : h("span", { class: "thread-when" }, `last at ${clock(message.latest_reply)}`));
}

function files(message) {
  if (!message.files?.length) return null;
  return h("ul", { class: "files", "aria-label": "Files" }, message.files.map((file) => h("li", {}, icon(ICONS.file),
    h("span", { class: "file-name" }, file.name ?? "A file from another organisation"), file.size === undefined ? null : h("span", { class: "file-size" }, inBytes(file.size)))));
}

function reactions(message) {
  if (!message.reactions?.length) return null;
  return h("p", { class: "reactions" }, message.reactions.map((one) => h("span", { class: "reaction", title: one.users.map((user) => nameOf(user) ?? user).join(", ") }, `:${one.name}: ${one.count}`)));
}

function tools(message, { channel, threads, mine }) {
  const parts = [];
  if (threads && !message.ephemeral_to) parts.push(button("Reply in thread", { kind: "quiet", symbol: "reply", wordless: true, onclick: () => go({ thread: message.ts }) }));
  if (!message.ephemeral_to && message.subtype !== "tombstone" && shortcuts().length) parts.push(shortcutMenu(message, channel));
  if (mine) parts.push(button("Delete this message", { kind: "quiet", symbol: "trash", wordless: true, onclick: () => attempt(api.remove({ team: place.team, channel, user: place.user, ts: message.ts })) }));
  return parts.length ? h("div", { class: "message-tools" }, parts) : null;
}

// What apps add to a message: Slack shows it in the menu behind the three dots.
function shortcutMenu(message, channel) {
  const menu = h("details", { class: "menu message-menu" },
    h("summary", { "aria-label": "More actions", title: "More actions" }, icon(ICONS.more)),
    h("div", { class: "menu-body" }, shortcuts().map((one) => button(one.name, { kind: "menu-item", title: one.description, onclick: () => {
      menu.open = false;
      attempt(api.shortcut({ team: place.team, channel, user: place.user, ts: message.ts, callback_id: one.callback_id }).then((answer) => {
        if (!answer.acknowledged) toast("EnableBot did not take that in time. Is it running?", { bad: true });
      }));
    } }))));
  menu.addEventListener("toggle", () => {
    // Below the last message there is no room: there it opens upwards.
    const pane = menu.closest(".scroll")?.getBoundingClientRect();
    const entries = menu.querySelector(".menu-body").getBoundingClientRect();
    if (menu.open && pane && entries.bottom > pane.bottom) menu.classList.add("upwards");
    if (!menu.open) menu.classList.remove("upwards");
  });
  menu.addEventListener("focusout", (event) => {
    if (!menu.contains(event.relatedTarget)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  return menu;
}

function stopButton(channel, thread) {
  const stop = button("Stop", { kind: "stop", symbol: "stop", onclick: () => {
    stop.disabled = true;
    attempt(api.stop({ team: place.team, channel, user: place.user, thread_ts: thread }));
  } });
  return stop;
}

async function attempt(promise) {
  try {
    await promise;
  } catch (error) {
    toast(error.message, { bad: true });
  }
}

export function clock(ts) {
  return new Date(Number(ts) * 1000).toLocaleTimeString(undefined, { hour: "numeric", minute: "2-digit" });
}

