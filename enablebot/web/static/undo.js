// Deletes and restores without leaving the page, and offers to undo a deletion for a while.
// Without script the same forms do it with a page in between; "Deleted lately" is there either way.
{
  const STAYS = 15000;
  const toast = document.querySelector("#toast");
  const title = document.querySelector("#documents-title");
  let timer = 0;

  const put = (name, words, ...actions) => {
    const text = document.createElement("p");
    const strong = document.createElement("strong");
    strong.textContent = name.length > 60 ? `${name.slice(0, 57)}…` : name;
    text.append(strong, name ? ": " : "", words);
    toast.replaceChildren(text, ...actions);
    toast.hidden = false;
    stay();
  };

  const close = () => {
    const hadFocus = toast.contains(document.activeElement);
    clearTimeout(timer);
    toast.hidden = true;
    toast.replaceChildren();
    if (hadFocus) title.focus();
  };

  // It goes by itself, but not from under somebody's hand.
  const stay = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (toast.matches(":hover") || toast.contains(document.activeElement)) stay();
      else close();
    }, STAYS);
  };

  const button = (label, press) => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "button button-quiet button-small";
    made.textContent = label;
    made.addEventListener("click", press);
    return made;
  };

  const send = async (action, token) => {
    try {
      const answer = await fetch(action, {
        method: "POST",
        headers: { Accept: "application/json" },
        body: new URLSearchParams({ csrf_token: token }),
      });
      const said = await answer.json();
      if (answer.ok) return said;
      put("", answer.status === 404 ? "It is not here any more." : said.error.message, button("Close", close));
    } catch {
      put("", "That did not reach EnableBot. Check the connection and try again.", button("Close", close));
    }
    return null;
  };

  const changed = () => document.dispatchEvent(new CustomEvent("knowledge:changed"));

  const act = async (action, token) => {
    const said = await send(action, token);
    changed();
    if (!said) return;
    if (!said.undo) {
      put(said.name, said.told, button("Close", close));
      return;
    }
    const undo = button("Undo", () => act(said.undo, token));
    put(said.name, said.told, undo, button("Close", close));
    undo.focus();
  };

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!("quietly" in form.dataset)) return;
    event.preventDefault();
    act(form.action, form.elements.csrf_token.value);
  });
}
