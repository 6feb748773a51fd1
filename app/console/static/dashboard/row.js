// One line of the list: made once, then only what differs is changed, so that focus and choice stay.

import { number } from "../format.js";
import { draw, el, kinds, lane, nameOf, status, when } from "./dom.js";

export class Row {
  constructor(job, { onOpen, onPick }) {
    this.pick = el("input", { type: "checkbox", onchange: () => onPick(this.job.id, this.pick.checked) });
    this.title = el("button", { type: "button", class: "plain title", onclick: () => onOpen(this.job.id, this.title) });
    this.tags = el("ul", { class: "tags" });
    this.state = el("div", { class: "state" });
    this.bar = lane("Progress");
    this.reach = el("p", { class: "small soft" });
    this.error = el("p", { class: "small why" });
    this.element = el("li", {},
      el("label", { class: "pick" }, this.pick),
      el("div", { class: "title-cell" }, this.title, this.error, this.tags),
      this.state,
      el("div", { class: "reach" }, this.bar, this.reach),
      el("div", { class: "when small soft" }, when(job.created_at)));
    this.show(job);
  }

  show(job) {
    const before = this.job;
    this.job = job;
    const title = nameOf(job);
    if (this.title.textContent !== title) {
      this.title.textContent = title;
      this.pick.setAttribute("aria-label", `Choose ${title}`);
      this.bar.setAttribute("aria-label", `Progress of ${title}`);
    }
    if (before?.status !== job.status) this.state.replaceChildren(status(job.status));
    const labels = [kinds[job.kind] ?? job.kind, ...(job.priority === 3 ? [] : [`Priority ${job.priority}`]), ...job.tags];
    if (this.labels !== labels.join("\n")) {
      this.labels = labels.join("\n");
      this.tags.replaceChildren(...labels.map((label) => el("li", { class: "tag" }, label)));
    }
    draw(this.bar, job);
    const failed = job.failed ? ` · ${number(job.failed)} failed` : "";
    this.reach.textContent = job.total ? `${number(job.done)} of ${number(job.total)}${failed}` : "Not read yet";
    this.error.textContent = job.error ?? "";
    this.error.hidden = !job.error;
  }
}
