// The two panes: a channel or the direct messages with the bot, and the thread beside it.

import { api } from "./api.js";
import { composer } from "./composer.js";
import { byId, button, h, icon, ICONS, redraw, replace, toast } from "./dom.js";
import { reconcile, rowsOf, workingIn, workingRow } from "./messages.js";
import { BOT, botUser, channelId, channelNow, go, install, isBotHere, key, landingPage, nameOf, person, place, workspace, world } from "./place.js";
import { avatar } from "./rail.js";

const NEAR_BOTTOM = 80;
const FRESH_ROOTS = 3;

const panes = {};
const sessions = new Map();
const seen = new Map();
let topics = [];
let wantsNewTopic = false;
let awaited = "";
let entered = "";

export function prepare() {
  panes.channel = pane("channel", { id: "composer-text", label: "Message", send: sendHere });
  panes.thread = pane("thread", { id: "composer-thread", label: "Reply", send: sendReply });
}

function pane(name, writing) {
  const scroll = byId(`${name}-messages`);
  const top = h("div", { class: "pane-top" });
  const list = h("div", { class: "messages" });
  scroll.append(top, list);
  const made = { scroll, top, list, writer: composer(byId(`${name}-foot`), writing), shown: "", atEnd: true };
  scroll.addEventListener("scroll", () => { made.atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_BOTTOM; }, { passive: true });
  // Opening the log or turning a phone must not hide the latest message from who was reading it.
  new ResizeObserver(() => { if (made.atEnd) scroll.scrollTop = scroll.scrollHeight; }).observe(scroll);
  return made;
}

// Draws everything anew for the place we are at.
export async function enter() {
  if (entered !== [place.team, place.user, place.channel].join("/")) {
    entered = [place.team, place.user, place.channel].join("/");
    sessions.clear();
    topics = [];
    wantsNewTopic = false;
  }
  drawHead();
  // Before anything is awaited: what is typed from now on belongs to this place.
  drawWriters();
  byId("thread").hidden = !place.thread;
  byId("app").classList.toggle("with-thread", Boolean(place.thread));
  await Promise.all([refreshChannel(), place.thread ? refreshThread() : null]);
}

export function focusWriter() {
  (place.thread ? panes.thread : panes.channel).writer.focus();
}

// Whether the person is in the middle of writing to the channel.
export function isWriting() {
  const field = byId("composer-text");
  return document.activeElement === field && Boolean(field.value);
}

// One load at a time; a change that comes meanwhile leads to exactly one more.
function oneAtATime(load) {
  let running = false;
  let again = false;
  return async () => {
    again = true;
    if (running) return;
    running = true;
    try {
      while (again) {
        again = false;
        await load();
      }
    } catch (error) {
      toast(error.message, { bad: true });
    } finally {
      running = false;
    }
  };
}

export const refreshChannel = oneAtATime(async () => {
  const at = key();
  const direct = place.channel === BOT;
  const where = { team: place.team, channel: channelId() };
  const all = (await api.messages(direct ? { ...where, channel: "@bot", user: place.user } : where)).messages;
  const roots = all.filter((message) => isRoot(message) || message.subtype === "thread_broadcast");
  const lately = roots.filter((root) => !root.ephemeral_to).slice(-FRESH_ROOTS).map((root) => root.ts);
  const told = await Promise.all([...new Set([...lately, ...sessions.keys()])].map(async (ts) => [ts, (await api.messages({ ...where, thread_ts: ts })).session]));
  if (at !== key()) return;
  for (const [ts, session] of told) sessions.set(ts, session);
  if (direct) drawDirect(all, at);
  else draw(panes.channel, rowsOf(roots, { channel: where.channel, threads: true, sessions }), roots, at);
  drawTop(roots);
  drawWriters();
});

export const refreshThread = oneAtATime(async () => {
  const at = key();
  if (!place.thread) return;
  const where = { team: place.team, channel: channelId(), thread_ts: place.thread };
  const { messages, session } = await api.messages(where);
  if (at !== key()) return;
  sessions.set(place.thread, session);
  const rows = rowsOf(messages, { channel: where.channel, threads: false, sessions });
  if (messages.length > 1) {
    const count = messages.length - 1;
    const after = rows.findIndex((row) => row.key === messages[0].ts) + 1;
    rows.splice(after, 0, { key: "count", print: String(count), make: () => h("div", { class: "day", role: "separator" }, h("span", {}, count === 1 ? "1 reply" : `${count} replies`)) });
  }
  if (waits(session, messages)) rows.push(workingRow(session, where.channel));
  draw(panes.thread, rows, messages, at);
  if (!messages.length) go({ thread: "" });
});

function isRoot(message) {
  return !message.thread_ts || message.thread_ts === message.ts;
}

function waits(session, messages) {
  return Boolean(workingIn(session)) && !messages.some((message) => message.streaming_state === "in_progress");
}

// Direct messages read as one talk: each topic with its replies in place, and a line between topics.
function drawDirect(all, at) {
  topics = all.filter(isRoot).map((root) => ({ root, thread: all.filter((message) => message === root || message.thread_ts === root.ts) }));
  const rows = [];
  topics.forEach(({ root, thread }, number) => {
    if (number && (thread.length > 1 || topics[number - 1].thread.length > 1)) {
      rows.push({ key: `topic-${root.ts}`, print: "", make: () => h("div", { class: "topic", role: "separator" }) });
    }
    rows.push(...rowsOf(thread, { channel: channelId(), threads: false, sessions }));
    const session = sessions.get(root.ts);
    if (waits(session, thread)) rows.push(workingRow(session, channelId()));
  });
  draw(panes.channel, withoutRepeatedDays(rows), all, at);
}

function withoutRepeatedDays(rows) {
  let last = "";
  return rows.filter((row) => {
    if (!row.key.startsWith("day-")) return true;
    const isNew = row.print !== last;
    last = row.print;
    return isNew;
  });
}

function draw(into, rows, messages, at) {
  const { scroll, list } = into;
  const isNewPlace = into.shown !== at;
  const stays = isNewPlace || into.atEnd;
  announce(messages, isNewPlace);
  if (isNewPlace) list.replaceChildren();
  into.shown = at;
  reconcile(list, rows);
  if (stays) toEnd(into);
}

function toEnd(into) {
  into.atEnd = true;
  into.scroll.scrollTop = into.scroll.scrollHeight;
}

// Tells screen readers of messages that are new and finished, once each.
function announce(messages, isNewPlace) {
  for (const message of messages) {
    const writing = message.streaming_state === "in_progress";
    const known = seen.get(message.ts);
    if (writing) seen.set(message.ts, "writing");
    else seen.set(message.ts, "told");
    if (writing || known === "told" || (isNewPlace && known === undefined) || message.user === place.user) continue;
    byId("announcer").append(h("p", {}, `${nameOf(message.user) ?? "Somebody"}: ${message.text.slice(0, 300)}`));
    while (byId("announcer").childElementCount > 20) byId("announcer").firstChild.remove();
  }
}

function drawHead() {
  const channel = channelNow();
  const menu = button("Channels and people", { kind: "quiet menu-button", symbol: "menu", wordless: true, onclick: () => byId("app").classList.toggle("rail-open") });
  const direct = place.channel === BOT;
  redraw(byId("channel-head"), menu,
    direct ? avatar("EnableBot", { bot: true, small: true }) : null,
    h("h2", {}, direct ? "EnableBot" : `# ${channel.name}`),
    h("p", { class: "head-note" }, direct ? `Direct messages of ${person().real_name}` : `${channel.members.length} members`),
    !direct && install() && !isBotHere() ? button("Invite EnableBot", { kind: "primary small", onclick: invite }) : null);
  redraw(byId("thread-head"),
    button("Close the thread", { kind: "quiet", symbol: "close", wordless: true, onclick: () => go({ thread: "" }) }),
    h("h2", {}, "Thread"), h("p", { class: "head-note" }, direct ? "EnableBot" : `# ${channel.name}`));
}

async function invite() {
  try {
    await api.invite({ team: place.team, channel: place.channel });
  } catch (error) {
    toast(error.message, { bad: true });
  }
}

function drawTop(roots) {
  const parts = [];
  if (!install()) parts.push(installCard());
  if (!roots.length) parts.push(welcome());
  replace(panes.channel.top, parts);
  panes.channel.top.hidden = !parts.length;
}

function installCard() {
  return h("section", { class: "card install", "aria-label": "Install EnableBot" },
    h("span", { class: "install-face" }, avatar("EnableBot", { bot: true })),
    h("div", {},
      h("h3", {}, `EnableBot is not in ${workspace().name} yet`),
      h("p", {}, "Click “Add to Slack” on its website and allow it on the consent page. This page notices by itself.")),
    h("a", { class: "button primary", href: landingPage(), target: "_blank", rel: "noopener" }, h("span", {}, "Install EnableBot")));
}

function welcome() {
  const direct = place.channel === BOT;
  const offered = direct ? world.ims.find((im) => im.id === channelId())?.prompts : null;
  const prompts = offered?.prompts ?? (direct ? DIRECT_IDEAS : CHANNEL_IDEAS);
  const canAsk = isBotHere();
  return h("section", { class: "welcome" },
    direct ? avatar("EnableBot", { bot: true }) : h("span", { class: "big-hash", "aria-hidden": "true" }, "#"),
    h("h3", {}, offered?.title || (direct ? "Ask EnableBot anything" : `This is the beginning of #${channelNow().name}`)),
    h("p", {}, direct ? "Answers arrive word by word. Ask a follow-up: it remembers this conversation."
      : "Mention @EnableBot and it answers in a thread. Everyone here is made up, so do try things."),
    canAsk ? h("div", { class: "ideas" }, prompts.map((prompt) => button(prompt.title, { kind: "idea", onclick: () => panes.channel.writer.say(prompt.message) }))) : null);
}

const CHANNEL_IDEAS = [
  { title: "Say hello", message: "@EnableBot hello, what can you do?" },
  { title: "Ask something", message: "@EnableBot where do I find the holiday calendar?" },
  { title: "Tell it something", message: "@EnableBot the summer party is on 12 July at the lake." },
];
const DIRECT_IDEAS = [
  { title: "Say hello", message: "Hello! What can you do?" },
  { title: "Tell it something", message: "The summer party is on 12 July at the lake." },
  { title: "A long answer", message: "Tell me a long story, please." },
];

function drawWriters() {
  const direct = place.channel === BOT;
  const topic = direct ? currentTopic() : null;
  const hints = [];
  if (topic) {
    hints.push(h("span", { class: "hint-words" }, icon(ICONS.reply), " Follow-up to “", clipped(topic.root.text || topic.root.files?.[0]?.name || ""), "”"),
      button("New topic", { kind: "link", onclick: () => { wantsNewTopic = true; drawWriters(); panes.channel.writer.focus(); } }));
  } else if (!direct && install() && !isBotHere()) {
    hints.push(h("span", { class: "hint-words" }, "EnableBot is not in this channel and hears nothing here until it is invited."));
  }
  panes.channel.writer.show({
    at: [place.team, place.user, place.channel].join("/"),
    placeholder: direct ? "Message EnableBot" : `Message #${channelNow().name} as ${person().real_name}`,
    mention: !direct && isBotHere(),
    hints,
    closed: direct && !install() ? "Install EnableBot to write to it" : "",
  });
  panes.thread.writer.show({ at: key(), placeholder: `Reply as ${person().real_name}`, mention: isBotHere(), hints: [] });
}

// The conversation a direct message continues: the last one, if the bot answers it in its thread.
function currentTopic() {
  const last = topics.at(-1);
  if (wantsNewTopic || !last || !install()) return null;
  const isAnswered = last.thread.some((message) => message !== last.root && message.user === botUser());
  return isAnswered || workingIn(sessions.get(last.root.ts)) ? last : null;
}

function clipped(text) {
  const plain = text.replace(/<[^>]*>|\[\[[^\]]*\]\]/g, "").replace(/\s+/g, " ").trim();
  return plain.length > 48 ? `${plain.slice(0, 47)}…` : plain || "your message";
}

// First the bytes, then the message that shares them, as Slack's own clients do.
async function uploaded(files) {
  const { team, user } = place;
  const ids = [];
  for (const file of files) ids.push((await api.upload({ team, user, file })).file);
  return ids.length ? { files: ids } : {};
}

async function sendHere(text, files) {
  const direct = place.channel === BOT;
  const topic = direct ? currentTopic() : null;
  const where = { team: place.team, channel: direct ? "@bot" : place.channel, user: place.user };
  const sent = await api.post({ ...where, text, ...(topic ? { thread_ts: topic.root.ts } : {}), ...(await uploaded(files)) });
  wantsNewTopic = false;
  if (!direct && /@EnableBot\b/i.test(text)) awaited = sent.ts;
  toEnd(panes.channel);
  await refreshChannel();
}

async function sendReply(text, files) {
  const where = { team: place.team, channel: channelId(), user: place.user, thread_ts: place.thread };
  await api.post({ ...where, text, ...(await uploaded(files)) });
  toEnd(panes.thread);
  await refreshThread();
}

// What a change elsewhere means for the panes on screen.
export function hear(change) {
  if (change.channel !== channelId()) return false;
  const reply = change.thread_ts && change.thread_ts !== change.ts;
  if (change.what === "status") sessions.set(change.thread_ts, sessions.get(change.thread_ts) ?? null);
  const isOnlyInThread = change.what === "changed" && reply && place.channel !== BOT;
  if (!isOnlyInThread) refreshChannel();
  if (place.thread && [change.ts, change.thread_ts].includes(place.thread)) refreshThread();
  if (change.what === "message" && reply && change.thread_ts === awaited && !place.thread && matchMedia("(min-width: 900px)").matches) {
    awaited = "";
    go({ thread: change.thread_ts });
  }
  return true;
}
