// Words with emphasis, code, links and mentions, as nodes. Two dialects: Markdown, and Slack's older mrkdwn.

import { h } from "./dom.js";

const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'" };
const SAFE_LINK = /^(https?:\/\/|mailto:)/i;

const CODE = { pattern: /(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)/y, make: (match) => h("code", {}, decode(match[2])) };
const TOKEN = { pattern: /<([@#!][^>\s|]+|https?:\/\/[^>\s|]+|mailto:[^>\s|]+)(?:\|([^>]*))?>/y, make: slackToken };
const BARE = { pattern: /https?:\/\/[^\s<>]*[^\s<>.,;:!?)\]}'"*_~]/y, make: (match) => link(match[0], [decode(match[0])]), atWordStart: true };

const MARKDOWN = [
  CODE,
  TOKEN,
  { pattern: /\\([\\`*_{}[\]()#+\-.!~>|])/y, make: (match) => match[1] },
  { pattern: /!?\[([^\]\n]*)\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/y, make: (match, again) => link(match[2], again(match[1])) },
  BARE,
  { pattern: /\*\*\*(?=\S)([\s\S]*?\S)\*\*\*/y, make: (match, again) => h("strong", {}, h("em", {}, again(match[1]))) },
  { pattern: /\*\*(?=\S)([\s\S]*?\S)\*\*/y, make: (match, again) => h("strong", {}, again(match[1])) },
  { pattern: /__(?=\S)([\s\S]*?\S)__(?!\w)/y, make: (match, again) => h("strong", {}, again(match[1])), atWordStart: true },
  { pattern: /~~(?=\S)([\s\S]*?\S)~~/y, make: (match, again) => h("s", {}, again(match[1])) },
  { pattern: /\*(?=[^\s*])([^*]*[^\s*])\*(?!\*)/y, make: (match, again) => h("em", {}, again(match[1])) },
  { pattern: /_(?=[^\s_])([^_]*[^\s_])_(?!\w)/y, make: (match, again) => h("em", {}, again(match[1])), atWordStart: true },
];

const MRKDWN = [
  CODE,
  TOKEN,
  BARE,
  { pattern: /\*(?=[^\s*])([^*\n]*[^\s*])\*(?![\w*])/y, make: (match, again) => h("strong", {}, again(match[1])), atWordStart: true },
  { pattern: /_(?=[^\s_])([^_\n]*[^\s_])_(?!\w)/y, make: (match, again) => h("em", {}, again(match[1])), atWordStart: true },
  { pattern: /~(?=[^\s~])([^~\n]*[^\s~])~(?!\w)/y, make: (match, again) => h("s", {}, again(match[1])), atWordStart: true },
];

// The nodes of a run of text. `names` gives a person's or channel's name for its id.
export function inline(text, { dialect, names }) {
  const rules = dialect === "markdown" ? MARKDOWN : MRKDWN;
  const again = (inner) => inline(inner, { dialect, names });
  const nodes = [];
  let plain = "";
  const flush = () => {
    if (!plain) return;
    decode(plain).split("\n").forEach((line, place) => {
      if (place) nodes.push(h("br"));
      if (line) nodes.push(document.createTextNode(line));
    });
    plain = "";
  };
  for (let at = 0; at < text.length; ) {
    const found = firstRule(rules, text, at);
    if (found) {
      flush();
      nodes.push(found.rule.make(found.match, again, names));
      at += found.match[0].length;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  flush();
  return nodes;
}

function firstRule(rules, text, at) {
  const afterWord = at > 0 && /[\p{L}\p{N}_]/u.test(text[at - 1]);
  for (const rule of rules) {
    if (rule.atWordStart && afterWord) continue;
    rule.pattern.lastIndex = at;
    const match = rule.pattern.exec(text);
    if (match) return { rule, match };
  }
  return null;
}

function slackToken(match, _again, names) {
  const [, body, label] = match;
  if (body.startsWith("@")) return h("span", { class: "mention" }, `@${names(body.slice(1)) ?? label ?? body.slice(1)}`);
  if (body.startsWith("#")) return h("span", { class: "mention" }, `#${names(body.slice(1)) ?? label ?? body.slice(1)}`);
  if (body.startsWith("!")) return h("span", { class: "mention" }, `@${label ?? body.slice(1)}`);
  return link(body, [decode(label || body)]);
}

function link(address, children) {
  const target = decode(address);
  if (!SAFE_LINK.test(target)) return h("span", {}, children);
  return h("a", { href: target, target: "_blank", rel: "noopener noreferrer nofollow" }, children);
}

export function decode(text) {
  return text.replace(/&(?:amp|lt|gt|quot|#39);/g, (entity) => ENTITIES[entity]);
}
