// One job, live. Figures come from the light status document, every two seconds and only when it changed (ETag); what
// depends on the state itself (buttons, notices, facts) is rendered by the server and renewed when the state changes.

import { ago, duration, number, percent, rate, share } from "./format.js";
import { Poll, ask, say } from "./poll.js";
import { renew } from "./regions.js";

const POLL_SECONDS = 2;
const RESULTS_SECONDS = 4;
const page = document.getElementById("job");
const VERDICTS = page.dataset.verdicts.split(" ").filter(Boolean);
const seen = { etag: null, key: page.dataset.key, shown: Number(page.dataset.done), total: Number(page.dataset.total), renewedAt: Date.now(), quarter: 0 };

function put(field, words) {
  for (const place of page.querySelectorAll(`[data-field="${field}"]`)) if (place.textContent !== words) place.textContent = words;
}

function draw(status) {
  let x = 0;
  for (const verdict of VERDICTS) {
    const width = status.total ? (1000 * (status.counts[verdict] ?? 0)) / status.total : 0;
    const piece = page.querySelector(`.progress .lane rect.${verdict}`);
    piece.setAttribute("x", x.toFixed(2));
    piece.setAttribute("width", width.toFixed(2));
    x += width;
  }
  const bar = page.querySelector(".progress .lane");
  bar.setAttribute("aria-valuemax", status.total || 1);
  bar.setAttribute("aria-valuenow", status.done);
  bar.setAttribute("aria-valuetext", status.total ? `${number(status.done)} of ${number(status.total)}, ${percent(status.done, status.total)}` : "not counted yet");
}

function show(status) {
  const { done, total, counts } = status;
  put("percent", percent(done, total));
  put("done", number(done));
  put("total", number(total));
  for (const verdict of VERDICTS) {
    put(verdict, number(counts[verdict] ?? 0));
    put(`${verdict}_share`, share(counts[verdict] ?? 0, done));
  }
  put("rate", rate(status.rate_per_second));
  put("eta", status.eta_seconds == null ? "–" : `about ${duration(status.eta_seconds)}`);
  put("workers", String(status.lane.workers));
  put("failed", number(status.failed));
  draw(status);
  title(status);
}

// The tab says how far it is; its icon, whether it runs.
function title({ done, total, health }) {
  const ended = health === "ended";
  document.title = `${ended || !total ? "" : `${percent(done, total)} `}${page.dataset.title} · Laneway`;
  const icon = document.querySelector('link[rel="icon"]');
  const wanted = ended ? page.dataset.iconEnded : page.dataset.iconRunning;
  if (icon.getAttribute("href") !== wanted) icon.setAttribute("href", wanted);
}

// Four times in a run is news; every two seconds would be noise.
function announce({ done, total, health }) {
  const quarter = total ? Math.floor((4 * done) / total) : 0;
  if (health === "ended") say(`Finished: ${number(done)} of ${number(total)} ${page.dataset.unit} done.`);
  else if (quarter > seen.quarter) say(`${quarter * 25}% done.`);
  seen.quarter = quarter;
}

async function renewParts(status) {
  const key = `${status.status} ${status.health} ${status.waiting?.text ?? ""}`;
  const changed = key !== seen.key || seen.total !== status.total;
  const due = status.done !== seen.shown && Date.now() - seen.renewedAt > RESULTS_SECONDS * 1000;
  if (!changed && !due) return;
  await renew(changed ? ["top", "news", "state", "reach", "facts", "results", "calls", "bad-rows"] : ["results"]);
  Object.assign(seen, { key, total: status.total, shown: status.done, renewedAt: Date.now() });
}

async function turn() {
  const response = await ask(page.dataset.statusUrl, seen.etag ? { "If-None-Match": seen.etag } : {});
  if (response.status !== 304) {
    seen.status = await response.json();
    seen.etag = response.headers.get("ETag");
    show(seen.status);
    announce(seen.status);
  }
  put("last", ago(seen.status.last_progress_at));
  await renewParts(seen.status);
  return seen.status.health !== "ended";
}

if (page.dataset.ended === "no") new Poll(POLL_SECONDS, turn).now();

// Nothing irreversible without a question.
document.addEventListener("submit", (event) => {
  const dialog = document.getElementById(event.target.dataset.confirm);
  if (!dialog) return;
  event.preventDefault();
  dialog.returnValue = "no";
  dialog.addEventListener("close", () => dialog.returnValue === "yes" && event.target.submit(), { once: true });
  dialog.showModal();
});
