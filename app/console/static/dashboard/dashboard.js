// The dashboard: the list, its filters, the drawer and the figures, brought together and kept live.

import { bulk, sure, tell } from "./call.js";
import { eventsUrl } from "./dom.js";
import { Drawer } from "./drawer.js";
import { begin } from "./figures.js";
import { forApi, read, watch } from "./filters.js";
import { List } from "./list.js";
import { Live } from "./stream.js";

// On a phone the jobs come first.
if (!matchMedia("(min-width: 48rem)").matches) {
  document.getElementById("charts").open = false;
  document.getElementById("more").open = Object.keys(read()).some((name) => name !== "status");
}
const PATIENCE_MS = 500;
const acts = document.getElementById("bulk");
const drawer = new Drawer();
const list = new List({ onOpen: (id, opener) => drawer.open(id, opener), onPicked });

function onPicked(picked) {
  const n = picked.size;
  document.getElementById("picked").textContent = n ? `${n} chosen` : "Choose all on this page";
  const all = document.getElementById("pick-all");
  all.checked = n > 0 && n === list.rows.size;
  all.indeterminate = n > 0 && n < list.rows.size;
  for (const act of acts.querySelectorAll("[data-act]")) act.disabled = !n;
}

async function act(action, which, more) {
  // What was refused is still chosen, to be tried with other words.
  if (await bulk(action, which, more)) list.picked.clear();
  await list.load().catch(() => {});
}

acts.addEventListener("click", async (event) => {
  const action = event.target.closest("button[data-act]")?.dataset.act;
  const jobIds = [...list.picked];
  if (!action || !jobIds.length) return;
  if (action === "tag" || action === "untag") return retag(action);
  const n = `${jobIds.length} job${jobIds.length === 1 ? "" : "s"}`;
  if (action === "cancel" && !(await sure(`Cancel ${n}?`, "What has an answer keeps it. The rest is not done.", `Cancel ${n}`))) return;
  await act(action, { jobIds });
});
const tag = document.getElementById("bulk-tag");
tag.addEventListener("keydown", (event) => { if (event.key === "Enter" && list.picked.size) retag("tag"); });

async function retag(action) {
  const words = tag.value.trim();
  if (words) return act(action, { jobIds: [...list.picked] }, { tag: words });
  tag.focus();
  tell("Write the tag first, then choose whether it is added or removed.", "warn");
}

document.getElementById("bulk-priority").addEventListener("change", async ({ target }) => {
  const priority = Number(target.value);
  target.value = "";
  if (priority && list.picked.size) await act("priority", { jobIds: [...list.picked] }, { priority });
});
document.getElementById("bulk-all").addEventListener("click", async () => {
  const words = "Every job that was given up and fits the filters is taken up again, also those on other pages.";
  if (await sure("Retry all given up?", words, "Retry them all")) await act("retry", { filter: forApi(read()) });
});

const mode = document.getElementById("mode");
watch(() => list.choose().catch(() => live.readAgain()));
const live = new Live(eventsUrl, {
  onJob: (job) => { list.note(job); drawer.note(job); },
  onReset: () => list.load(),
  onMode: (words, name) => { mode.textContent = words; mode.dataset.mode = name; },
});
// The list is read when the stream has begun, so that nothing falls between the two; where that takes long, before it, too.
setTimeout(() => list.isRead || list.choose().catch(() => live.readAgain()), PATIENCE_MS);
begin();
