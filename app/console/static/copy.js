// Buttons that copy a text; without this script the text is selected by hand.

import { say } from "./poll.js";

async function copy(text) {
  // Only on HTTPS and localhost there is a clipboard; elsewhere the old way still works in most browsers.
  if (navigator.clipboard) return navigator.clipboard.writeText(text.textContent);
  getSelection().selectAllChildren(text);
  if (!document.execCommand("copy")) throw new Error("refused");
}

for (const button of document.querySelectorAll("[data-copy]")) {
  const words = button.firstChild.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy);
    try {
      await copy(text);
      button.firstChild.textContent = "Copied";
      say("Copied.");
    } catch {
      getSelection().selectAllChildren(text);
      button.firstChild.textContent = "Selected";
      say("Selected; copy it with the keyboard.");
    }
    setTimeout(() => (button.firstChild.textContent = words), 2000);
  });
}
