// One job beside the list: how it stands, why, and what can be done. It follows the job as long as it is open.

import { number, percent } from "../format.js";
import { ask } from "../poll.js";
import { call, sure, tell } from "./call.js";
import { rows, timeline, waiting } from "./course.js";
import { ENDED, rows as countRows, api, draw, el, icon, jobPage, kinds, lane, nameOf, status, when } from "./dom.js";

const TIMELINE_MS = 1_500;
// As fresh as a page that polls: waiting is when nothing happens, so no event tells of it.
const WAITING_MS = 5_000;
const dialog = document.getElementById("drawer");
const body = document.getElementById("drawer-body");

export class Drawer {
  constructor() {
    this.id = null;
    dialog.addEventListener("close", () => { this.id = null; this.opener?.focus(); });
    setInterval(() => document.hidden || !dialog.open || this.lookWhy(), WAITING_MS);
    // A click beside it closes it, as Escape does.
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  async open(id, opener) {
    Object.assign(this, { id, opener });
    try {
      const job = await (await ask(`${api}/${id}`)).json();
      if (this.id === id) this.build(job);
    } catch {
      tell("This job can't be shown at the moment.", "bad");
    }
  }

  build(job) {
    this.parts = { state: el("p", {}), reach: el("p", {}), bar: lane("Progress"), acts: el("div", { class: "actions" }), why: el("div", { class: "note bad", hidden: true }), waits: el("div", { class: "note warn", hidden: true }), turns: el("div", {}), items: el("div", {}) };
    const { state, reach, bar, acts, why, waits, turns, items } = this.parts;
    const facts = [["Type", kinds[job.kind] ?? job.kind], ["Priority", String(job.priority)], ["Made", when(job.created_at)], ["By", job.created_by ?? "–"], ["Tags", job.tags.join(", ") || "–"], ["Queue", job.lane ?? "–"],
      ...(job.scheduled_for ? [["Not before", when(job.scheduled_for)]] : []), ...(job.max_retries == null ? [] : [["Attempts a row", String(job.max_retries + 1)]])];
    body.replaceChildren(
      el("div", { class: "head tight" }, el("h2", { id: "drawer-title" }, nameOf(job)), el("button", { type: "button", class: "small-button", onclick: () => dialog.close() }, "Close")),
      el("div", { class: "figure" }, state, reach), bar, why, waits, acts,
      el("dl", { class: "facts" }, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
      el("h3", {}, "Course"), turns, el("h3", {}, "Rows"), this.chooser(job), items);
    this.shown = null;
    this.show(job);
    this.turnsSoon(0);
    this.list(job.failed > 0);
    dialog.setAttribute("aria-labelledby", "drawer-title");
    if (!dialog.open) dialog.showModal();
    body.scrollTop = 0;
  }

  chooser(job) {
    const choose = el("select", { id: "drawer-rows", onchange: () => this.list(choose.value === "failed") }, el("option", { value: "failed", selected: job.failed > 0 }, "Without an answer"), el("option", { value: "all", selected: job.failed === 0 }, "All"));
    return el("div", { class: "field inline" }, el("label", { for: "drawer-rows" }, "Show"), choose);
  }

  list(onlyFailed) {
    const { parts, load } = rows(this.id, onlyFailed);
    this.parts.items.replaceChildren(...parts);
    load().catch(() => {});
  }

  // Something happened to a job, perhaps to this one.
  note(job) {
    if (!dialog.open || job.id !== this.id) return;
    this.show(job);
    this.turnsSoon(TIMELINE_MS);
  }

  show(job) {
    const { state, reach, bar, acts, why } = this.parts;
    const before = this.shown;
    this.shown = job;
    reach.textContent = job.total ? `${percent(job.done, job.total)}, ${number(job.done)} of ${number(job.total)} rows` : "Not read yet";
    draw(bar, job);
    why.hidden = !job.error;
    why.replaceChildren(icon("alert"), el("div", {}, job.error ?? ""));
    if (before?.status === job.status && (before.failed > 0) === (job.failed > 0)) return;
    state.replaceChildren(status(job.status));
    this.lookWhy();
    const hadFocus = acts.contains(document.activeElement);
    acts.replaceChildren(...this.acts(job));
    if (hadFocus) acts.querySelector("button, a")?.focus();
  }

  async lookWhy() {
    const { id } = this;
    const { waits } = this.parts;
    const text = ENDED.has(this.shown.status) ? null : await waiting(id).catch(() => undefined);
    if (text === undefined || this.id !== id) return;
    waits.hidden = !text || ENDED.has(this.shown.status);
    waits.replaceChildren(icon("clock"), el("div", {}, el("strong", {}, "Waiting:"), ` ${text}.`));
  }

  acts(job) {
    const made = [];
    if (["completed", "dead_letter"].includes(job.status) && job.failed) made.push(el("button", { type: "button", onclick: () => this.retry() }, icon("retry"), "Retry failed rows"));
    if (!ENDED.has(job.status)) made.push(el("button", { type: "button", class: "danger", onclick: () => this.cancel() }, "Cancel"));
    return [...made, el("a", { class: "button", href: jobPage(job.id) }, "Open its page")];
  }

  async act(method, path, words) {
    try {
      const told = await call(method, path);
      this.show(told);
      this.turnsSoon(0);
      tell(words(told));
    } catch (error) {
      tell(error.message, "bad");
      dialog.close();
    }
  }

  retry() {
    return this.act("POST", `/${this.id}/retry`, (told) => `${countRows(told.retried_rows)} to be tried again.`);
  }

  async cancel() {
    const id = this.id;
    if (await sure("Cancel this job?", "What has an answer keeps it. The rest is not done.", "Cancel the job")) await this.act("DELETE", `/${id}`, () => "Cancelled.");
  }

  turnsSoon(ms) {
    clearTimeout(this.turning);
    const id = this.id;
    this.turning = setTimeout(async () => {
      const open = this.parts.turns.querySelector("details")?.open;
      const parts = await timeline(id).catch(() => null);
      if (!parts || this.id !== id) return;
      this.parts.turns.replaceChildren(...parts.filter(Boolean));
      const details = this.parts.turns.querySelector("details");
      if (details && open) details.open = true;
    }, ms);
  }
}
