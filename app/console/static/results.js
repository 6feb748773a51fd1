// Filter, search and turn pages of the results without leaving the page. Each step is an address of its own, so that Back,
// reload and links work; without this script the same links and the same form load the page anew.

import { say } from "./poll.js";
import { renew } from "./regions.js";

const TYPING_MS = 300;
const results = document.getElementById("results");
let typing;
let latest = 0;

async function go(url, record = "pushState") {
  const turn = ++latest;
  results.setAttribute("aria-busy", "true");
  try {
    if (record) history[record](null, "", url);
    await renew(["results"], url);
  } catch {
    if (turn === latest) location.assign(url);
    return;
  }
  if (turn !== latest) return;
  results.removeAttribute("aria-busy");
  const box = results.querySelector("input[type=search]");
  if (box !== document.activeElement) box.value = box.defaultValue;
  const rows = results.querySelectorAll("tbody tr").length;
  say(rows ? `${rows} rows shown.` : "Nothing matches.");
}

function address(form) {
  const url = new URL(form.action);
  url.search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value)).toString();
  return url.href;
}

results.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-swap]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.href);
});
results.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-swap]")) return;
  event.preventDefault();
  clearTimeout(typing);
  go(address(event.target));
});
results.addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => go(address(event.target.form), "replaceState"), TYPING_MS);
});
addEventListener("popstate", () => go(location.href, null));
