// A message's text as nodes: paragraphs, lists, quotes, headings, tables and code, in either dialect.

import { h } from "./dom.js";
import { decode, inline } from "./inline.js";

const FENCE = /^\s{0,3}(```+|~~~+)\s*([\w+-]*)\s*$/;
const HEADING = /^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^\s{0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^(\s*)([-*+•]|\d{1,9}[.)])\s+(.*)$/;
const QUOTE = /^\s{0,3}(?:>|&gt;)\s?(.*)$/;
const TABLE_RULE = /^(?=.*\|)\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

// `dialect` is "markdown" or "mrkdwn"; `names` turns an id into a name.
export function rendered(text, { dialect, names }) {
  const say = (run) => inline(run, { dialect, names });
  const lines = (text ?? "").replace(/\r\n?/g, "\n").split("\n");
  return dialect === "markdown" ? markdown(lines, say) : mrkdwn(lines, say);
}

function mrkdwn(lines, say) {
  const nodes = [];
  const whole = lines.join("\n").split(/```\n?/);
  whole.forEach((part, place) => {
    if (place % 2) {
      nodes.push(code(part.replace(/\n$/, "")));
      return;
    }
    for (const group of grouped(part.split("\n"), (line) => QUOTE.test(line))) {
      const inner = group.lines.map((line) => (group.is ? QUOTE.exec(line)[1] : line)).join("\n").replace(/^\n+|\n+$/g, "");
      if (inner) nodes.push(group.is ? h("blockquote", {}, h("p", {}, say(inner))) : h("p", {}, say(inner)));
    }
  });
  return nodes;
}

function markdown(lines, say) {
  const nodes = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at];
    const fence = FENCE.exec(line);
    if (!line.trim()) {
      at += 1;
    } else if (fence) {
      const body = [];
      for (at += 1; at < lines.length && !lines[at].trim().startsWith(fence[1]); at += 1) body.push(lines[at]);
      at += 1;
      nodes.push(code(body.join("\n")));
    } else if (HEADING.test(line)) {
      const [, marks, title] = HEADING.exec(line);
      nodes.push(h("p", { class: `heading heading-${Math.min(marks.length, 3)}`, role: "heading", "aria-level": Math.min(marks.length + 2, 6) }, say(title)));
      at += 1;
    } else if (RULE.test(line)) {
      nodes.push(h("hr"));
      at += 1;
    } else if (ITEM.test(line)) {
      const [list, next] = listFrom(lines, at, say);
      nodes.push(list);
      at = next;
    } else if (QUOTE.test(line)) {
      const body = [];
      for (; at < lines.length && QUOTE.test(lines[at]); at += 1) body.push(QUOTE.exec(lines[at])[1]);
      nodes.push(h("blockquote", {}, markdown(body, say)));
    } else if (line.includes("|") && TABLE_RULE.test(lines[at + 1] ?? "")) {
      const rows = [];
      for (; at < lines.length && lines[at].includes("|"); at += 1) rows.push(lines[at]);
      nodes.push(table(rows, say));
    } else {
      const body = [line];
      for (at += 1; at < lines.length && lines[at].trim() && !starts(lines[at]); at += 1) body.push(lines[at]);
      nodes.push(h("p", {}, say(body.join("\n").trim())));
    }
  }
  return nodes;
}

function starts(line) {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || ITEM.test(line) || QUOTE.test(line);
}

function listFrom(lines, start, say) {
  const [, indent, mark] = ITEM.exec(lines[start]);
  const ordered = /\d/.test(mark);
  const list = h(ordered ? "ol" : "ul", ordered && parseInt(mark, 10) !== 1 ? { start: parseInt(mark, 10) } : {});
  let at = start;
  while (at < lines.length) {
    const match = ITEM.exec(lines[at]);
    if (match && match[1].length < indent.length) break;
    if (match && match[1].length > indent.length + 1 && list.lastChild) {
      const [inner, next] = listFrom(lines, at, say);
      list.lastChild.append(inner);
      at = next;
    } else if (match) {
      if (/\d/.test(match[2]) !== ordered) break;
      list.append(h("li", {}, say(match[3])));
      at += 1;
    } else if (lines[at].trim() && /^\s+/.test(lines[at]) && list.lastChild) {
      list.lastChild.append(h("br"), ...say(lines[at].trim()));
      at += 1;
    } else if (!lines[at].trim() && ITEM.test(lines[at + 1] ?? "")) {
      at += 1;
    } else break;
  }
  return [list, at];
}

function table(rows, say) {
  const cells = (row) => row.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const [head, , ...body] = rows;
  return h("div", { class: "table-scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, cells(head).map((cell) => h("th", { scope: "col" }, say(cell))))),
    h("tbody", {}, body.map((row) => h("tr", {}, cells(row).map((cell) => h("td", {}, say(cell))))))));
}

function code(text) {
  return h("pre", { tabindex: "0" }, h("code", {}, decode(text)));
}

function* grouped(lines, test) {
  let group = null;
  for (const line of lines) {
    const is = test(line);
    if (group && group.is === is) group.lines.push(line);
    else {
      if (group) yield group;
      group = { is, lines: [line] };
    }
  }
  if (group) yield group;
}
