// Sends files one by one with their progress, and says before sending what would be refused anyway.
// Without script the same form sends them all at once.
{
  const form = document.querySelector("#upload");
  const input = form.querySelector("#files");
  const list = document.querySelector("#uploads");
  const mostBytes = Number(form.dataset.mostBytes);
  const endings = form.dataset.endings.split(",");
  const AT_ONCE = 2;
  const waiting = [];
  let running = 0;

  form.classList.add("drop-live");

  const say = (words) => document.dispatchEvent(new CustomEvent("knowledge:said", { detail: words }));

  const element = (tag, className, text = "") => {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  };

  const button = (label, name, press) => {
    const made = element("button", "button button-quiet button-small", label);
    made.type = "button";
    made.setAttribute("aria-label", `${label}: ${name}`);
    made.addEventListener("click", press);
    return made;
  };

  const megabytes = (bytes) => (bytes / 1024 / 1024).toFixed(bytes < 104857600 ? 1 : 0);

  const refusal = (file) => {
    const name = file.name.toLowerCase();
    if (!endings.some((ending) => name.endsWith(ending))) {
      return `EnableBot reads ${endings.join(", ")} files, not this kind. Save it as one of these.`;
    }
    if (file.size > mostBytes) {
      return `It has ${megabytes(file.size)} MB, and ${megabytes(mostBytes)} MB is the most. Split it into parts.`;
    }
    return file.size === 0 ? "The file is empty." : "";
  };

  // A line of the list: the file's name, how far it is, and what can be done with it.
  const line = (name) => {
    const item = element("li", "upload");
    const words = element("p", "upload-words", "Waiting");
    const bar = element("progress", "reading");
    bar.max = 100;
    bar.value = 0;
    bar.setAttribute("aria-label", `Sending ${name}`);
    item.append(element("p", "upload-name", name), words, bar);
    list.append(item);
    let action = null;
    const offer = (made) => {
      const hadFocus = action?.contains(document.activeElement);
      action?.remove();
      action = made;
      if (made) item.append(made);
      if (hadFocus) (made ?? input).focus();
    };
    return {
      cancellable: (press) => offer(press && button("Cancel", name, press)),
      progress(percent) {
        bar.value = percent;
        words.textContent = percent < 100 ? `Sending ${percent} %` : "Sent, being stored";
      },
      end(told, className) {
        bar.remove();
        item.classList.add(className);
        words.textContent = told;
        offer(button("Dismiss", name, () => { offer(null); item.remove(); }));
        say(`${name}: ${told}`);
        // What went well stands in the list below by now.
        if (className === "upload-done") setTimeout(() => { if (!item.contains(document.activeElement)) item.remove(); }, 5000);
      },
    };
  };

  const reason = (request) => {
    if (request.status === 401) return "You are signed out. Load the page again, sign in, and send it once more.";
    try {
      return JSON.parse(request.responseText).error.message;
    } catch {
      return "It did not arrive. Check the connection and try again.";
    }
  };

  const next = () => {
    while (running < AT_ONCE && waiting.length) send(waiting.shift());
  };

  const ended = () => {
    running -= 1;
    next();
  };

  const send = ({ file, shown }) => {
    running += 1;
    const token = form.elements.csrf_token.value;
    const body = new FormData();
    body.append("csrf_token", token);
    body.append("file", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRF-Token", token);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) shown.progress(Math.floor((100 * event.loaded) / event.total));
    });
    // From here on it is there: what could still be cancelled is only the answer.
    request.upload.addEventListener("load", () => shown.cancellable(null));
    request.addEventListener("load", () => {
      if (request.status === 200) {
        shown.end(JSON.parse(request.responseText).told, "upload-done");
        document.dispatchEvent(new CustomEvent("knowledge:changed"));
      } else {
        shown.end(reason(request), "upload-refused");
      }
      ended();
    });
    request.addEventListener("error", () => { shown.end(reason(request), "upload-refused"); ended(); });
    request.addEventListener("abort", () => { shown.end("Cancelled. Nothing of it was kept.", "upload-refused"); ended(); });
    shown.progress(0);
    shown.cancellable(() => request.abort());
    request.send(body);
  };

  const take = (files) => {
    for (const file of files) {
      const shown = line(file.name);
      const why = refusal(file);
      if (why) {
        shown.end(why, "upload-refused");
        continue;
      }
      const entry = { file, shown };
      waiting.push(entry);
      shown.cancellable(() => {
        waiting.splice(waiting.indexOf(entry), 1);
        shown.end("Cancelled. Nothing of it was sent.", "upload-refused");
      });
    }
    next();
  };

  input.addEventListener("change", () => {
    take(input.files);
    input.value = "";
  });
  form.addEventListener("submit", (event) => event.preventDefault());

  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  let inside = 0;
  addEventListener("dragenter", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    inside += 1;
    form.classList.add("drop-over");
  });
  addEventListener("dragover", (event) => { if (holdsFiles(event)) event.preventDefault(); });
  addEventListener("dragleave", (event) => {
    if (!holdsFiles(event)) return;
    inside = Math.max(0, inside - 1);
    if (!inside) form.classList.remove("drop-over");
  });
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    inside = 0;
    form.classList.remove("drop-over");
    const files = [];
    for (const item of event.dataTransfer.items) {
      if (item.kind !== "file") continue;
      const file = item.getAsFile();
      if (item.webkitGetAsEntry?.()?.isDirectory) {
        line(file?.name ?? "Folder").end("This is a folder. Open it and drag the files in it.", "upload-refused");
      } else if (file) {
        files.push(file);
      }
    }
    take(files);
  });

  // A half-sent file is lost when the page is left.
  addEventListener("beforeunload", (event) => { if (running || waiting.length) event.preventDefault(); });
}
