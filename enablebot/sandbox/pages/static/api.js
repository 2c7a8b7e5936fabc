// The sandbox's control API, as this page uses it.

export class Refused extends Error {}

const REASONS = {
  messages_tab_disabled: "EnableBot is not installed here yet, so it cannot be written to.",
  app_not_installed: "EnableBot is not installed in this workspace.",
  not_in_channel: "This person is not in that channel.",
  no_text: "There is nothing to send yet.",
  thread_not_found: "That thread is gone.",
  message_not_found: "That message is gone.",
  channel_not_found: "That conversation does not exist.",
  file_upload_size_zero: "That file is empty, and Slack takes none like that.",
  file_not_found: "That file is gone.",
  shortcut_not_found: "EnableBot offers no such entry here.",
};

async function answered(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Refused("The sandbox does not answer. Is it still running?");
  }
  const body = await response.json().catch(() => ({ ok: false, error: `status ${response.status}` }));
  if (!body.ok) throw new Refused(REASONS[body.error] ?? `The sandbox refused: ${body.error}`);
  return body;
}

function read(name, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  return answered(fetch(`/sandbox/api/${name}?${new URLSearchParams(given)}`));
}

function act(name, body) {
  return answered(fetch(`/sandbox/api/${name}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  }));
}

function upload({ team, user, file }) {
  return answered(fetch(`/sandbox/api/upload?${new URLSearchParams({ team, user, name: file.name })}`, {
    method: "POST",
    headers: { "content-type": "application/octet-stream" },
    body: file,
  }));
}

export const api = {
  state: () => read("state"),
  messages: (where) => read("messages", where),
  ledger: () => read("ledger"),
  post: (message) => act("messages", message),
  remove: (where) => act("delete", where),
  openApp: (who) => act("open", who),
  click: (press) => act("click", press),
  shortcut: (use) => act("shortcut", use),
  upload,
  stop: (where) => act("stop", where),
  invite: (where) => act("invite", where),
  uninstall: (team) => act("uninstall", { team }),
};

// Calls `heard` for each change in a workspace, and `state` with whether the line is open.
export function listen(team, { heard, state }) {
  const source = new EventSource(`/sandbox/api/updates?team=${encodeURIComponent(team)}`);
  let opened = false;
  source.addEventListener("hello", () => {
    state(true);
    if (opened) heard({ what: "reconnected", team });
    opened = true;
  });
  source.addEventListener("change", (event) => heard(JSON.parse(event.data)));
  source.addEventListener("error", () => state(false));
  return () => source.close();
}
