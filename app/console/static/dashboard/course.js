// The course of a job in words: its turns, its chunks, its rows with every attempt. What is long is asked for when opened.

import { duration, number } from "../format.js";
import { ask } from "../poll.js";
import { rows as countRows, api, el, icon, providers, statuses, when } from "./dom.js";

const ROWS = 25;
const json = async (path) => (await ask(api + path)).json();
const WHAT = { created: () => "Made", started: () => "Begun", retried: () => "Taken up again", ended: (turn) => statuses[turn.status]?.[0] ?? turn.status };
const SHAPE = { created: "file", started: "running", retried: "retry" };
const OUTCOMES = { found: "Found", miss: "Not found", pending: "Still looking", refused: "Refused", error: "Failed", skipped: "Not asked" };
const KINDS = { parse: "Reading", verify: "Verifying", enrich: "Looking up", act: "Acting" };
const CHUNKS = { ready: "ready", released: "handed out", running: "at work", done: "done", dead: "dead", cancelled: "cancelled" };
// Short, beside a chunk; the whole sentence stands at the job.
const WAITS = { retry: "next attempt", callback: "an answer that comes later", circuit_open: "keys that rest after errors", no_keys: "a key", daily_quota: "the daily quota", window: "the keys' limits", spacing: "the keys' limits" };
const rowsOf = (chunk) => (chunk.last_item ? `rows ${number(chunk.first_item)} to ${number(chunk.last_item)}` : "the list");

function turnLine(turn, before) {
  const seconds = before ? Math.round((Date.parse(turn.at) - Date.parse(before.at)) / 1000) : 0;
  const since = seconds ? el("span", { class: "soft small" }, ` after ${duration(seconds)}`) : null;
  const failed = turn.failed ? el("span", { class: "soft small" }, `, ${countRows(turn.failed)} without an answer`) : null;
  return el("li", { class: turn.status }, icon(SHAPE[turn.what] ?? statuses[turn.status]?.[1] ?? "unknown"), el("div", {}, el("b", {}, WHAT[turn.what](turn)), failed, el("p", { class: "soft small" }, when(turn.at), since)));
}

// As call_in_words of app/console/words.py says it; here rows have no lines.
function cameTo({ provider, state, items }) {
  const named = items.slice(0, 5).join(", ") + (items.length > 5 ? ` and ${items.length - 5} more` : "");
  const about = items.length ? ` about row${items.length === 1 ? "" : "s"} ${named}` : "";
  if (!provider) return state === "duplicate" ? "came again: kept once" : "kept with the job";
  return { matched: `answered${about}`, late: `came too late${about}: no result changed`, unknown: `nothing waited for it${about}`, duplicate: `came again${about}: nothing changed` }[state];
}

// What can't be seen is shown by its number, as escaped of app/plain_text.py does: whoever tells of an event names it.
const seen = (words) => words.replace(/\p{C}/gu, (c) => `\\u${c.codePointAt(0).toString(16).padStart(4, "0")}`);

function callLine(call) {
  return el("li", { class: "call" }, icon("download"), el("div", {}, el("b", { class: "wrap" }, call.provider ? `Call of ${providers[call.provider] ?? call.provider}` : `Event ${seen(call.event)}`), ` ${cameTo(call)}`, el("p", { class: "soft small" }, when(call.at))));
}

// Turns and calls from outside, in the order in which they came.
function lines(told) {
  const turns = told.turns.map((turn, at) => [turn.at, turnLine(turn, told.turns[at - 1])]);
  const calls = told.calls.map((call) => [call.at, callLine(call)]);
  return [...turns, ...calls].sort(([one], [other]) => Date.parse(one) - Date.parse(other)).map(([, line]) => line);
}

function chunkLine(chunk) {
  const took = chunk.started_at && chunk.finished_at ? `, ${duration((Date.parse(chunk.finished_at) - Date.parse(chunk.started_at)) / 1000)}` : "";
  const waits = chunk.waits_for && chunk.status === "ready" ? `, waits for ${WAITS[chunk.waits_for] ?? chunk.waits_for} until ` : "";
  return el("li", {}, `${KINDS[chunk.kind] ?? chunk.kind} ${rowsOf(chunk)}: ${CHUNKS[chunk.status]}, ${number(chunk.done)} done`, chunk.failed ? `, ${number(chunk.failed)} failed` : "",
    chunk.attempts > 1 ? `, ${chunk.attempts} workers lost` : "", took, waits, waits ? when(chunk.run_at) : null, chunk.error ? el("p", { class: "soft" }, chunk.error) : null);
}

// What a job waits for, in words, or null.
export const waiting = async (id) => (await json(`/${id}/status`)).waiting?.text ?? null;

export async function timeline(id) {
  const told = await json(`/${id}/timeline`);
  const total = Object.values(told.by_status).reduce((sum, n) => sum + n, 0);
  const counted = Object.entries(told.by_status).map(([name, n]) => `${number(n)} ${CHUNKS[name]}`).join(", ");
  return [
    el("ol", { class: "turns" }, lines(told)),
    total ? el("details", {}, el("summary", {}, `${number(total)} chunk${total === 1 ? "" : "s"}: ${counted}`),
      el("ul", { class: "small chunks" }, told.chunks.map(chunkLine)),
      total > told.chunks.length ? el("p", { class: "soft small" }, `The first ${told.chunks.length}: those at work, then the last that ended.`) : null) : null,
  ];
}

function attemptLine(attempt) {
  const how = [attempt.callback ? "told in a later call" : attempt.cached ? "remembered" : attempt.ms == null ? null : `${number(attempt.ms)} ms`, attempt.credits ? `${attempt.credits} credits` : null].filter(Boolean).join(", ");
  return el("li", {}, el("b", {}, providers[attempt.provider] ?? attempt.provider), ` ${OUTCOMES[attempt.outcome]}`, how ? ` (${how})` : "", el("span", { class: "soft" }, " ", when(attempt.at)), attempt.message || attempt.code ? el("p", { class: "soft wrap" }, attempt.message ?? attempt.code) : null);
}

async function attempts(id, item) {
  const { result, attempts: asked, pending } = await json(`/${id}/items/${item}/attempts`);
  const lines = asked.map(attemptLine);
  if (!asked.length && result.provider) lines.push(el("li", {}, el("b", {}, providers[result.provider] ?? result.provider), ` ${result.message ?? result.code ?? ""} `, result.checked_at ? el("span", { class: "soft" }, when(result.checked_at)) : null));
  if (pending) lines.push(el("li", {}, `Tried ${pending.attempts} time${pending.attempts === 1 ? "" : "s"}: ${pending.reason}. Again from `, when(pending.not_before)));
  return lines.length ? el("ul", { class: "attempts small" }, lines) : el("p", { class: "soft small" }, "Nothing was asked yet.");
}

function rowLine(id, row) {
  const name = row.lead_id ?? row.email ?? `Row ${row.item_no}`;
  const outcome = row.failed ? "failed" : row.verdict?.replaceAll("_", " ") ?? "not yet";
  const inside = el("div", {});
  const made = el("details", {}, el("summary", {}, el("span", { class: "wrap" }, name || `Row ${row.item_no}`), el("span", { class: row.failed ? "bad-word" : "soft" }, ` ${outcome}`)), row.message ? el("p", { class: "small soft wrap" }, row.message) : null, inside);
  made.addEventListener("toggle", async () => {
    if (made.open && !inside.childElementCount) inside.replaceChildren(await attempts(id, row.item_no).catch(() => el("p", { class: "soft" }, "This can't be shown at the moment.")));
  });
  return el("li", {}, made);
}

// A page of rows at a time; those that failed are among the unknown.
export function rows(id, onlyFailed) {
  const list = el("ul", { class: "items" });
  const more = el("button", { type: "button", class: "small-button", hidden: true }, "More rows");
  let cursor = "";
  const load = async () => {
    const told = await json(`/${id}/results?limit=${ROWS}${onlyFailed ? "&verdict=unknown" : ""}${cursor ? `&cursor=${cursor}` : ""}`);
    list.append(...told.results.map((row) => rowLine(id, row)));
    if (!list.childElementCount) list.append(el("li", { class: "soft" }, onlyFailed ? "No row failed." : "No rows yet."));
    cursor = told.next_cursor ?? "";
    more.hidden = !cursor;
  };
  more.addEventListener("click", () => load().catch(() => {}));
  return { parts: [list, more], load };
}
