// Where a person writes. Enter sends, Shift+Enter starts a line; a draft stays with its conversation, files included.

import { button, h, icon, ICONS, replace, toast } from "./dom.js";

const drafts = new Map();
const attached = new Map();
const TALLEST = 200;

// A composer in `parent`; `send(text, files)` posts and may throw, `mention` offers @EnableBot at a touch.
export function composer(parent, { id, label, send }) {
  const hint = h("p", { class: "composer-hint", id: `${id}-hint` });
  const problem = h("p", { class: "composer-problem", role: "alert" });
  const field = h("textarea", { id, rows: "1", "aria-label": label, "aria-describedby": `${id}-hint`, enterkeyhint: "send", spellcheck: "true" });
  const go = button("Send", { kind: "send primary", symbol: "send", wordless: true, onclick: () => submit() });
  const at = button("Mention EnableBot", { kind: "quiet", symbol: "at", wordless: true, onclick: () => insert("@EnableBot ") });
  const picker = h("input", { type: "file", class: "hidden", multiple: true, tabindex: "-1", "aria-label": "Files to attach", onchange: () => { attach(picker.files); picker.value = ""; } });
  const clip = button("Attach files", { kind: "quiet", symbol: "clip", wordless: true, onclick: () => picker.click() });
  const chips = h("ul", { class: "attached", "aria-label": "Attached files", hidden: true });
  const form = h("form", { class: "composer", onsubmit: (event) => { event.preventDefault(); submit(); } },
    field, chips, picker, h("div", { class: "composer-bar" }, clip, at, h("span", { class: "keys" }, h("kbd", {}, "Enter"), " sends, ", h("kbd", {}, "Shift"), "+", h("kbd", {}, "Enter"), " new line"), go));
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

  field.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) {
      event.preventDefault();
      attach(event.clipboardData.files);
    }
  });

  // A file may be dropped anywhere on the pane it belongs to.
  const pane = parent.closest(".pane") ?? parent;
  pane.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    pane.classList.toggle("dropping", !field.disabled);
  });
  pane.addEventListener("dragleave", (event) => {
    if (!pane.contains(event.relatedTarget)) pane.classList.remove("dropping");
  });
  pane.addEventListener("drop", (event) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    pane.classList.remove("dropping");
    attach(event.dataTransfer.files);
  });

  function attach(files) {
    if (field.disabled) {
      toast(field.placeholder, { bad: true });
      return;
    }
    attached.set(key, [...(attached.get(key) ?? []), ...files]);
    drawChips();
    field.focus();
  }

  function drawChips() {
    const files = attached.get(key) ?? [];
    chips.hidden = !files.length;
    replace(chips, files.map((file) => h("li", {}, icon(ICONS.file), h("span", { class: "file-name" }, file.name), h("span", { class: "file-size" }, inBytes(file.size)),
      button(`Leave ${file.name} out`, { kind: "quiet", symbol: "close", wordless: true, onclick: () => {
        attached.set(key, files.filter((other) => other !== file));
        drawChips();
        field.focus();
      } }))));
    fit();
  }

  function fit() {
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, TALLEST)}px`;
    go.disabled = !field.value.trim() && !attached.get(key)?.length;
  }

  function insert(text) {
    field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
    drafts.set(key, field.value);
    fit();
    field.focus();
  }

  async function submit() {
    const text = field.value.trim();
    const files = attached.get(key) ?? [];
    if ((!text && !files.length) || busy) return;
    busy = true;
    const sentFrom = key;
    problem.textContent = "";
    field.value = "";
    drafts.delete(sentFrom);
    attached.delete(sentFrom);
    drawChips();
    try {
      await send(text, files);
    } catch (error) {
      problem.textContent = error.message;
      drafts.set(sentFrom, text);
      attached.set(sentFrom, files);
      if (key === sentFrom && !field.value) field.value = text;
      drawChips();
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
      drawChips();
      field.placeholder = closed || placeholder;
      field.disabled = Boolean(closed);
      form.classList.toggle("closed", Boolean(closed));
      at.hidden = !mention;
      clip.disabled = Boolean(closed);
      replace(hint, hints);
      fit();
    },
  };
}

export function inBytes(size) {
  if (size < 1000) return `${size} B`;
  return size < 1_000_000 ? `${Math.round(size / 1000)} kB` : `${(size / 1_000_000).toFixed(1)} MB`;
}
