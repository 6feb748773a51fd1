// Calls of the API that change something, and the words for what came of them.

import { say } from "../poll.js";
import { api, el } from "./dom.js";

const token = document.querySelector('meta[name="csrf-token"]').content;
const notes = el("div", { class: "notes", id: "told" });
document.querySelector("#dashboard .head").after(notes);

// Say it where people look and where it is read out; gone by itself unless something was wrong.
export function tell(words, kind = "", more = []) {
  const note = el("div", { class: `note ${kind}` }, el("div", {}, words, more.length ? el("ul", { class: "small" }, more.map((line) => el("li", {}, line))) : null),
    el("button", { type: "button", class: "plain", onclick: () => note.remove() }, "Close"));
  notes.replaceChildren(note);
  if (!kind) setTimeout(() => note.remove(), 8000);
  say(words);
}

// Returns the answer; throws an Error with the problem's words.
export async function call(method, path, body) {
  const headers = { "X-CSRFToken": token, ...(body ? { "Content-Type": "application/json" } : {}) };
  const response = await fetch(api + path, { method, headers, credentials: "same-origin", body: body && JSON.stringify(body) });
  const told = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(told.detail ?? `The server answered ${response.status}.`);
  return told;
}

// Ask before what can't be undone; resolves to whether to do it.
export function sure(title, words, yes) {
  const dialog = document.getElementById("ask");
  dialog.querySelector("#ask-title").textContent = title;
  dialog.querySelector("#ask-text").textContent = words;
  dialog.querySelector("#ask-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

const DONE = { retry: "taken up again", cancel: "cancelled", priority: "changed", tag: "tagged", untag: "untagged" };
const jobs = (n) => `${n} job${n === 1 ? "" : "s"}`;

// One act on many jobs: `which` is {jobIds} or {filter}. Resolves to whether it was taken.
export async function bulk(action, which, more = {}) {
  try {
    const told = await call("POST", "/bulk", { action, ...which, ...more });
    if (told.job) {
      tell(`${jobs(told.matched)}: this is under way as a job of its own, “${told.job.title}”.`);
      return true;
    }
    const reasons = new Map();
    for (const { reason } of told.skipped) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    if (told.unknown.length) reasons.set("There is no such job.", told.unknown.length);
    const lines = [...reasons].map(([reason, n]) => `${jobs(n)} left alone: ${reason}`);
    tell(`${jobs(told.done)} ${DONE[action]}.`, lines.length ? "warn" : "", lines);
    return true;
  } catch (error) {
    tell(error.message, "bad");
    return false;
  }
}
