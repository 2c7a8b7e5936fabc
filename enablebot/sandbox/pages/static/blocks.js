// Block Kit, as far as a message shows it; buttons press for real.

import { api } from "./api.js";
import { button, confirmWith, h, toast } from "./dom.js";
import { rendered } from "./markdown.js";
import { nameOf, place } from "./place.js";

const MARKS = { pending: "○", in_progress: "◐", complete: "✓", error: "!" };

export function text(object) {
  if (!object) return [];
  if (object.type === "plain_text") return [h("p", {}, object.text)];
  return rendered(object.text, { dialect: "mrkdwn", names: nameOf });
}

// The blocks of a message, but for the rich text that only repeats what it says.
export function blocks(message, channel) {
  const shown = (message.blocks ?? []).filter((block) => block.type !== "rich_text");
  return shown.map((block) => h("div", { class: `block block-${block.type}` }, contents(block, { message, channel })));
}

function contents(block, where) {
  switch (block.type) {
    case "section":
      return [
        h("div", { class: "section-text" }, text(block.text), block.fields ? h("div", { class: "fields" }, block.fields.map((field) => h("div", {}, text(field)))) : null),
        block.accessory ? element(block.accessory, block, where) : null,
      ];
    case "markdown":
      return rendered(block.text, { dialect: "markdown", names: nameOf });
    case "header":
      return h("p", { class: "heading heading-2", role: "heading", "aria-level": "4" }, block.text?.text ?? "");
    case "context":
      return (block.elements ?? []).map((part) => (part.type === "image" ? picture(part) : h("div", {}, text(part))));
    case "actions":
    case "context_actions":
      return (block.elements ?? []).map((part) => element(part, block, where));
    case "divider":
      return h("hr");
    case "image":
      return picture(block);
    case "plan":
      return [h("p", { class: "plan-title" }, h("strong", {}, block.title ?? "Plan")), (block.tasks ?? []).map(task)];
    case "task_card":
      return task(block);
    default:
      return h("p", { class: "unknown" }, `A block of type “${block.type}”, which the sandbox does not draw.`);
  }
}

function picture(image) {
  return h("p", { class: "unknown" }, `Picture: ${image.alt_text || "without a description"}`);
}

function task(card) {
  const status = card.status ?? "pending";
  return h("div", { class: `task task-${status}` },
    h("span", { class: "task-mark", "aria-label": status.replace("_", " ") }, MARKS[status] ?? "○"),
    h("div", {}, h("p", {}, card.title ?? ""), detail(card.details), detail(card.output)));
}

function detail(said) {
  if (!said) return null;
  return h("p", { class: "task-detail" }, typeof said === "string" ? said : plain(said));
}

function plain(rich) {
  if (typeof rich?.text === "string") return rich.text;
  return (rich?.elements ?? []).map(plain).join("");
}

function element(part, block, where) {
  if (part.type === "feedback_buttons") {
    return h("span", { class: "feedback" },
      [part.positive_button, part.negative_button].filter(Boolean).map((choice) => pressable(choice, part.action_id, where)));
  }
  if (part.type === "button" || part.type === "icon_button") return pressable(part, part.action_id, where);
  return h("span", { class: "unknown" }, `A “${part.type}”, which the sandbox does not draw.`);
}

function pressable(part, actionId, { message, channel }) {
  const label = part.text?.text ?? part.accessibility_label ?? "Press";
  const kind = part.style === "primary" ? "primary" : part.style === "danger" ? "danger" : "";
  const pressed = button(label, { kind: `block-button ${kind}`, "aria-label": part.accessibility_label ?? null, onclick: () => press(pressed, part, actionId, message, channel) });
  return pressed;
}

async function press(pressed, part, actionId, message, channel) {
  if (part.confirm) {
    const agreed = await confirmWith({
      title: part.confirm.title?.text ?? "Are you sure?",
      text: part.confirm.text?.text ?? "",
      yes: part.confirm.confirm?.text ?? "Yes",
      no: part.confirm.deny?.text ?? "Cancel",
      danger: part.confirm.style === "danger",
    });
    if (!agreed) return;
  }
  if (part.url && /^https?:/i.test(part.url)) window.open(part.url, "_blank", "noopener,noreferrer");
  pressed.disabled = true;
  try {
    const answer = await api.click({ team: place.team, channel, ts: message.ts, user: place.user, action_id: actionId, value: part.value ?? "" });
    if (!answer.acknowledged) toast(`EnableBot did not take the click (${answer.reason || `status ${answer.status}`}).`, { bad: true });
  } catch (error) {
    toast(error.message, { bad: true });
  } finally {
    pressed.disabled = false;
  }
}
