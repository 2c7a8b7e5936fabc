// Elements without markup: text goes in as text, so nothing a message says can become part of the page.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function icon(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export const ICONS = {
  send: "M3 10 17 3.5 12.5 17 10 11.5Z M10 11.5 17 3.5",
  close: "M5 5l10 10M15 5 5 15",
  back: "M12.5 4 6.5 10l6 6",
  reply: "M4 4.5h12v8.5H9.5L6 16v-3H4Z",
  stop: "M6 6h8v8H6Z",
  menu: "M3.5 5.5h13M3.5 10h13M3.5 14.5h13",
  more: "M4.5 10h.01M10 10h.01M15.5 10h.01",
  trash: "M4.5 6h11M8 6V4h4v2M6 6l.7 10h6.6L14 6",
  clip: "M15.5 9.2 9.8 14.9a3.4 3.4 0 0 1-4.8-4.8l6-6a2.3 2.3 0 0 1 3.2 3.2l-5.9 5.9a1.1 1.1 0 0 1-1.6-1.6l5.3-5.3",
  file: "M6 3h5.5L15 6.5V17H6ZM11.5 3v3.5H15",
  at: "M10 13.2a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4ZM13.2 7v4.4c0 2.4 3.8 2.2 3.8-1.4A7 7 0 1 0 13.5 16",
};

export function button(label, { onclick, kind = "", symbol = "", wordless = false, ...rest } = {}) {
  const parts = [symbol ? icon(ICONS[symbol]) : null, wordless ? null : h("span", {}, label)];
  return h("button", { type: "button", class: `button ${kind}`.trim(), "aria-label": wordless ? label : null, title: wordless ? label : null, onclick, ...rest }, parts);
}

export function replace(parent, ...children) {
  parent.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
}

// Replaces what is inside, and keeps the keyboard where it was: on the control of the same name.
export function redraw(parent, ...children) {
  const held = parent.contains(document.activeElement) ? named(document.activeElement) : "";
  replace(parent, ...children);
  if (held) [...parent.querySelectorAll("button, a, summary")].find((control) => named(control) === held)?.focus();
}

function named(control) {
  return `${control.tagName} ${control.getAttribute("aria-label") ?? control.querySelector(".entry-label, .person-name")?.textContent ?? control.textContent}`;
}

export function byId(id) {
  return document.getElementById(id);
}

let toastTimer = 0;

export function toast(text, { bad = false } = {}) {
  const place = byId("toasts");
  replace(place, h("p", { class: bad ? "toast bad" : "toast" }, text));
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => replace(place), 6000);
}

// Asks before something that cannot be taken back; resolves to true or false.
export function confirmWith({ title, text, yes, no = "Cancel", danger = false }) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { class: "dialog", "aria-labelledby": "dialog-title" },
      h("h2", { id: "dialog-title" }, title),
      h("p", {}, text),
      h("div", { class: "dialog-buttons" },
        button(no, { onclick: () => dialog.close("no") }),
        button(yes, { kind: danger ? "danger" : "primary", onclick: () => dialog.close("yes") })));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
