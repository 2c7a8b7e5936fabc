// Adds a Copy button to each example; without script a click on the text still selects all of it.
for (const example of document.querySelectorAll(".example")) {
  if (!navigator.clipboard) break;
  const text = example.querySelector("code").textContent;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy: ${text}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
      document.querySelector("#copied").textContent = "Copied to the clipboard.";
    } catch {
      button.textContent = "Select it";
    }
    setTimeout(() => { button.textContent = "Copy"; document.querySelector("#copied").textContent = ""; }, 2000);
  });
  example.append(button);
}
