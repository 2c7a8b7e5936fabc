// Keeps what a page shows of documents at work up to date: asks for the page again and swaps what has changed.
// Parts are marked with data-live; data-busy says that there is something to wait for, data-told what to say at its end.
{
  const EVERY = 1000;
  const LATER = 3000;
  const PATIENT = 60;
  const said = document.querySelector("#said");
  let looks = 0;
  let timer = 0;
  let asking = false;
  let isOver = false;

  const say = (words) => { said.textContent = words; };

  // Swapped parts lose the keyboard's place; whatever has it again by its id gets it back.
  const swap = (old, fresh) => {
    const held = old.contains(document.activeElement) ? document.activeElement.id : "";
    old.replaceChildren(...fresh.childNodes);
    for (const name of ["data-key", "data-busy", "data-told"]) {
      if (fresh.hasAttribute(name)) old.setAttribute(name, fresh.getAttribute(name));
      else old.removeAttribute(name);
    }
    if (held) document.getElementById(held)?.focus({ preventScroll: true });
  };

  const isSame = (old, fresh) => {
    if (old.dataset.key !== fresh.dataset.key) return false;
    // What has a key is made of parts that are swapped by themselves.
    return "key" in old.dataset || (old.innerHTML === fresh.innerHTML && old.dataset.told === fresh.dataset.told);
  };

  const refresh = async () => {
    if (asking || isOver) return;
    asking = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.status === 401) {
        isOver = true;
        return say("You are signed out. Load the page again to go on.");
      }
      if (!answer.ok) return;
      const ended = [];
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const old of document.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(old.id);
        if (!fresh || !old.isConnected || isSame(old, fresh)) continue;
        if ("busy" in old.dataset && !("busy" in fresh.dataset)) ended.push(fresh.dataset.told);
        swap(old, fresh);
      }
      if (ended.length) say(ended.join(" "));
    } catch {
      // No connection for a moment: the next look may have one.
    } finally {
      asking = false;
    }
  };

  const look = async () => {
    clearTimeout(timer);
    if (isOver || !document.querySelector("[data-busy]")) return;
    if (!document.hidden) {
      await refresh();
      looks += 1;
    }
    clearTimeout(timer);
    timer = setTimeout(look, looks < PATIENT ? EVERY : LATER);
  };

  const changed = async () => {
    looks = 0;
    await refresh();
    look();
  };

  document.addEventListener("knowledge:changed", changed);
  document.addEventListener("knowledge:said", (event) => say(event.detail));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) changed(); });
  timer = setTimeout(look, EVERY);
}
