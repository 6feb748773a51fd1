// The list of jobs, a page at a time: fifty lines, however many jobs there are. Changes come in as fast as they like; they
// are drawn once a frame, and only those that are in view.

import { ask } from "../poll.js";
import { number } from "../format.js";
import { api } from "./dom.js";
import { fits, forApi, read } from "./filters.js";
import { Row } from "./row.js";

const A_PAGE = 50;
const COUNTS_MS = 5_000;
const place = (id) => document.getElementById(id);

export class List {
  constructor({ onOpen, onPicked }) {
    Object.assign(this, { rows: new Map(), picked: new Set(), changed: new Map(), cursor: null, next: null, turn: 0, onPicked, frame: null, counting: null });
    this.acts = { onOpen, onPick: (id, on) => { this.picked[on ? "add" : "delete"](id); this.onPicked(this.picked); } };
    place("older").addEventListener("click", () => this.go(this.next));
    place("newer").addEventListener("click", () => this.go(null));
    place("pick-all").addEventListener("change", (event) => this.pickAll(event.target.checked));
  }

  // Show what the filters say, from the beginning.
  async choose() {
    this.picked.clear();
    await this.go(null);
  }

  async go(cursor) {
    this.cursor = cursor;
    place("rows").setAttribute("aria-busy", "true");
    await this.load();
  }

  // Read the page that is shown again. Throws as `ask` does.
  async load() {
    const turn = ++this.turn;
    const query = new URLSearchParams({ ...forApi(read()), limit: A_PAGE, counts: true, ...(this.cursor ? { cursor: this.cursor } : {}) });
    const told = await (await ask(`${api}?${query}`)).json();
    if (turn !== this.turn) return;
    this.isRead = true;
    this.changed.clear();
    this.next = told.next_cursor;
    const fresh = new Map(told.jobs.map((job) => [job.id, this.row(job)]));
    for (const id of this.picked) if (!fresh.has(id)) this.picked.delete(id);
    this.rows = fresh;
    this.arrange();
    this.count(told.counts, told.counts_limit);
    place("rows").removeAttribute("aria-busy");
  }

  row(job) {
    const known = this.rows.get(job.id);
    if (known) known.show(job);
    return known ?? new Row(job, this.acts);
  }

  // Something happened to a job.
  note(job) {
    this.changed.set(job.id, job);
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = null;
    const filter = read();
    let moved = false;
    let turned = false;
    for (const job of this.changed.values()) {
      const row = this.rows.get(job.id);
      turned ||= row?.job.status !== job.status;
      if (row) {
        row.show(job);
        // What left the view stays as long as somebody is at it.
        if (!fits(job, filter) && !this.picked.has(job.id) && !row.element.contains(document.activeElement)) moved = this.rows.delete(job.id);
      } else if (!this.cursor && fits(job, filter)) {
        this.rows.set(job.id, new Row(job, this.acts));
        moved = true;
      }
    }
    this.changed.clear();
    if (moved) this.arrange();
    if (this.next && this.rows.size < A_PAGE / 2) this.load().catch(() => {});
    if (turned) this.countSoon();
  }

  // Newest first: an id begins with its time.
  arrange() {
    const order = [...this.rows].sort(([a], [b]) => (a < b ? 1 : -1));
    for (const [id] of order.slice(A_PAGE)) this.rows.delete(id);
    const list = place("rows");
    const wanted = order.slice(0, A_PAGE).map(([, row]) => row.element);
    wanted.forEach((element, at) => { if (list.children[at] !== element) list.insertBefore(element, list.children[at] ?? null); });
    while (list.children.length > wanted.length) list.lastElementChild.remove();
    for (const [id, row] of this.rows) row.pick.checked = this.picked.has(id);
    place("none").hidden = wanted.length > 0;
    place("older").hidden = !this.next;
    place("newer").hidden = !this.cursor;
    place("range").textContent = wanted.length ? `${wanted.length} job${wanted.length === 1 ? "" : "s"} on this page` : "";
    this.onPicked(this.picked);
  }

  countSoon() {
    this.counting ??= setTimeout(() => { this.counting = null; this.recount().catch(() => {}); }, COUNTS_MS * (0.5 + Math.random()));
  }

  async recount() {
    const query = new URLSearchParams({ ...forApi(read()), limit: 1, counts: true });
    const told = await (await ask(`${api}?${query}`)).json();
    this.count(told.counts, told.counts_limit);
  }

  count(counts, limit) {
    const all = Object.values(counts ?? {}).reduce((sum, n) => sum + n, 0);
    for (const place of document.querySelectorAll("[data-count]")) {
      const n = place.dataset.count ? counts?.[place.dataset.count] : all;
      place.textContent = n ? ` ${number(Math.min(n, limit))}${n >= limit ? "+" : ""}` : "";
    }
    document.getElementById("bulk-all").hidden = !(read().status === "dead_letter" && counts?.dead_letter);
  }

  pickAll(on) {
    for (const id of this.rows.keys()) this.picked[on ? "add" : "delete"](id);
    this.arrange();
  }
}
