// Elements made of data. Texts only ever become text: nothing that a client named can become markup.

import { number } from "../format.js";

const page = document.getElementById("dashboard");
export const api = page.dataset.api;
export const statuses = JSON.parse(page.dataset.statuses);
export const providers = JSON.parse(page.dataset.providers);
export const kinds = JSON.parse(page.dataset.kinds);

// As app/console/job_names.py says it.
export const nameOf = (job) => job.title || `${kinds[job.kind] ?? job.kind}, untitled`;
export const jobPage = (id) => page.dataset.page + id;
export const eventsUrl = page.dataset.events;
export const rows = (n) => `${number(n)} row${n === 1 ? "" : "s"}`;
export const ENDED = new Set(["completed", "failed", "cancelled", "dead_letter"]);

// el("button", { class: "plain", onclick }, "text", child, …); null children are left out.
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child != null));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const icon = (name) => svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `${page.dataset.icons}#${name}` }));

export function status(name) {
  const [label, shape] = statuses[name] ?? [name, "unknown"];
  return el("span", { class: `status ${name}` }, icon(shape), label);
}

export function when(time) {
  const at = new Date(time);
  const words = at.toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: "UTC" });
  return el("time", { datetime: time, title: `${at.toISOString().slice(0, 19)}Z` }, words);
}

// What is done, as one bar: good, so-so, bad, not there, not known. Verdicts about addresses and about leads share its colours; a
// lead that is not found is no failure, so it is grey, as on the job's page.
const PARTS = { valid: ["valid", "found", "done"], catch_all: ["catch_all", "partial"], invalid: ["invalid"], not_found: ["not_found"], unknown: ["unknown", "skipped"] };

export function draw(bar, job) {
  let x = 0;
  // What is done without a verdict, as of acts on jobs.
  const other = Math.max(0, job.done - Object.values(job.counts).reduce((sum, n) => sum + n, 0));
  for (const [part, verdicts] of Object.entries(PARTS)) {
    const n = verdicts.reduce((sum, verdict) => sum + (job.counts[verdict] ?? 0), part === "unknown" ? other : 0);
    const width = job.total ? (1000 * n) / job.total : 0;
    const piece = bar.querySelector(`.${part}`);
    piece.setAttribute("x", x.toFixed(1));
    piece.setAttribute("width", width.toFixed(1));
    x += width;
  }
  bar.setAttribute("aria-valuemax", job.total || 1);
  bar.setAttribute("aria-valuenow", job.done);
}

export function lane(label) {
  const pieces = Object.keys(PARTS).map((part) => svg("rect", { class: part, x: 0, width: 0, height: 10 }));
  const picture = svg("svg", { viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true" }, ...pieces);
  return el("div", { class: "lane", role: "progressbar", "aria-label": label, "aria-valuemin": 0 }, picture);
}
