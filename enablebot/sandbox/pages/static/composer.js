// Where a person writes. Enter sends, Shift+Enter starts a line; a draft stays with its conversation.

import { button, h, replace } from "./dom.js";

const drafts = new Map();
const TALLEST = 200;

// A composer in `parent`; `send(text)` posts and may throw, `mention` offers @EnableBot at a touch.
export function composer(parent, { id, label, send }) {
  const hint = h("p", { class: "composer-hint", id: `${id}-hint` });
  const problem = h("p", { class: "composer-problem", role: "alert" });
  const field = h("textarea", { id, rows: "1", "aria-label": label, "aria-describedby": `${id}-hint`, enterkeyhint: "send", spellcheck: "true" });
  const go = button("Send", { kind: "send primary", symbol: "send", wordless: true, onclick: () => submit() });
  const at = button("Mention EnableBot", { kind: "quiet", symbol: "at", wordless: true, onclick: () => insert("@EnableBot ") });
  const form = h("form", { class: "composer", onsubmit: (event) => { event.preventDefault(); submit(); } },
    field, h("div", { class: "composer-bar" }, at, h("span", { class: "keys" }, h("kbd", {}, "Enter"), " sends, ", h("kbd", {}, "Shift"), "+", h("kbd", {}, "Enter"), " new line"), go));
  replace(parent, hint, form, problem);
  let key = "";
  let busy = false;

  field.addEventListener("input", () => {
    drafts.set(key, field.value);
    fit();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
  });

  function fit() {
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, TALLEST)}px`;
    go.disabled = !field.value.trim();
  }

  function insert(text) {
    field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
    drafts.set(key, field.value);
    fit();
    field.focus();
  }

  async function submit() {
    const text = field.value.trim();
    if (!text || busy) return;
    busy = true;
    const sentFrom = key;
    problem.textContent = "";
    field.value = "";
    drafts.delete(sentFrom);
    fit();
    try {
      await send(text);
    } catch (error) {
      problem.textContent = error.message;
      drafts.set(sentFrom, text);
      if (key === sentFrom && !field.value) field.value = text;
      fit();
    } finally {
      busy = false;
    }
  }

  return {
    focus: () => field.focus(),
    say: (text) => { field.value = ""; insert(text); submit(); },
    insert,
    // Shows the composer for a conversation: its draft, its words, and whether it can be written to.
    show({ at: where, placeholder, hints = [], mention = true, closed = "" }) {
      if (where !== key) {
        key = where;
        field.value = drafts.get(key) ?? "";
        problem.textContent = "";
      }
      field.placeholder = closed || placeholder;
      field.disabled = Boolean(closed);
      form.classList.toggle("closed", Boolean(closed));
      at.hidden = !mention;
      replace(hint, hints);
      fit();
    },
  };
}
