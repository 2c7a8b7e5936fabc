// The delivery log: what was sent to the app, what it answered, what it called, and what it did wrong.

import { api } from "./api.js";
import { byId, h, replace } from "./dom.js";
import { world } from "./place.js";

const SHOWN = 100;
const VIEWS = { deliveries: "Events sent", calls: "Calls made", violations: "Violations" };

let view = "deliveries";
let timer = 0;

export function prepareDrawer() {
  byId("drawer").addEventListener("toggle", () => refreshDrawer());
  setInterval(() => {
    if (byId("drawer").open && !document.hidden) load();
  }, 2000);
}

// Looks again soon; many changes in a row are one look.
export function refreshDrawer() {
  if (timer) return;
  timer = setTimeout(() => {
    timer = 0;
    load();
  }, 300);
}

async function load() {
  let ledger;
  try {
    ledger = await api.ledger();
  } catch {
    return;
  }
  drawSummary(ledger);
  if (byId("drawer").open) drawBody(ledger);
}

function drawSummary({ deliveries, violations }) {
  const last = deliveries.at(-1);
  const words = last ? `${deliveries.length} ${deliveries.length === 1 ? "event" : "events"}, latest ${last.type}` : "nothing sent yet";
  replace(byId("drawer-summary"), words, last ? [" ", outcome(last)] : null,
    violations.length ? [" ", h("span", { class: "chip bad" }, `${violations.length} violations`)] : null);
}

function drawBody(ledger) {
  const body = byId("drawer-body");
  const focused = body.contains(document.activeElement) ? document.activeElement.dataset.view : null;
  const switches = h("div", { class: "switches", role: "group", "aria-label": "What to show" }, Object.entries(VIEWS).map(([name, label]) =>
    h("button", { type: "button", class: "switch", dataset: { view: name }, "aria-pressed": String(view === name), onclick: () => { view = name; drawBody(ledger); } },
      label, h("span", { class: "count" }, String(ledger[name].length)))));
  const rows = ledger[view].slice(-SHOWN).reverse();
  replace(body, switches, rows.length ? table(rows) : h("p", { class: "empty" }, EMPTY[view]));
  if (focused) body.querySelector(`[data-view="${focused}"]`)?.focus();
}

const EMPTY = {
  deliveries: "No event was sent yet. Write something once EnableBot is installed.",
  calls: "EnableBot has not called anything yet.",
  violations: "None: EnableBot kept to Slack’s rules.",
};

function table(rows) {
  const [head, cells] = COLUMNS[view];
  return h("div", { class: "table-scroll" }, h("table", { class: "log" },
    h("thead", {}, h("tr", {}, head.map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, cells(row).map((cell) => h("td", {}, cell)))))));
}

const COLUMNS = {
  deliveries: [["Time", "Event", "Workspace", "Attempts", "Status", "Took", "Event id"], (entry) => [
    time(entry.at), code(entry.type), team(entry.team), attempts(entry), outcome(entry), took(entry.attempts.at(-1)), code(entry.event_id),
  ]],
  calls: [["Time", "Method", "Workspace", "Result", "Arguments"], (call) => [
    time(call.at), code(call.method), team(call.team),
    call.ok ? chip("ok", "good") : chip(call.fault ? `${call.error || call.status} (on order)` : call.error || String(call.status), "bad"),
    h("span", { class: "arguments" }, Object.entries(call.args_summary).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`).join("  ")),
  ]],
  violations: [["Time", "Kind", "What happened"], (entry) => [time(entry.at), code(entry.kind), entry.detail]],
};

function attempts(entry) {
  return h("span", { class: "attempts" }, entry.attempts.map((attempt) => h("span", { class: attempt.reason ? "pip bad" : "pip good", title: attempt.reason || (attempt.status ? `status ${attempt.status}` : "by socket") })),
    ` ${entry.attempts.length}`);
}

function outcome(entry) {
  const last = entry.attempts.at(-1);
  if (!last) return chip("on its way", "wait");
  if (entry.acknowledged) return chip(last.status ? String(last.status) : "socket", "good");
  const words = last.status ? `${last.status}` : last.reason.replace(/_/g, " ");
  return chip(entry.finished ? words : `${words}, will retry`, entry.finished ? "bad" : "wait");
}

function chip(words, kind) {
  return h("span", { class: `chip ${kind}` }, words);
}

function took(attempt) {
  return attempt ? `${attempt.ms < 10 ? attempt.ms.toFixed(1) : Math.round(attempt.ms)} ms` : "–";
}

function team(id) {
  return world.workspaces.find((one) => one.id === id)?.name ?? id ?? "–";
}

function code(words) {
  return h("code", {}, words);
}

function time(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString();
}
