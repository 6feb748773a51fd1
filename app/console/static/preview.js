// Show how the file was understood: its first rows as a table whose headings are the choice of the address column; of a
// list of leads, plain headings below the choice of what each column holds.
// Only the beginning of the file is sent for it. A preview that can't be had never stands in the way of the upload.

import { isOfLeads, offer, purpose, reference } from "./purpose.js";

const BEGINNING_BYTES = 256 * 1024;
const FORMATS = { csv: "CSV", tsv: "Tab-separated", xlsx: "Excel" };
const box = document.getElementById("preview");
const facts = document.getElementById("preview-facts");
const table = box.querySelector("table");
let latest = 0;

const make = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};

export function clear() {
  latest += 1;
  box.hidden = true;
  table.replaceChildren();
}

function mark(index) {
  for (const row of table.rows) [...row.cells].forEach((cell, at) => cell.classList.toggle("picked", at === index));
}

function heading(name, index, found) {
  if (isOfLeads()) return make("th", { scope: "col", textContent: name, title: name });
  const radio = make("input", { type: "radio", name: "email_column", value: reference(name, index), required: true, checked: index === found });
  radio.addEventListener("change", () => mark(index));
  return make("th", { scope: "col" }, make("label", {}, radio, make("span", { textContent: name, title: name })));
}

function draw({ columns, sample, email_column: found }) {
  const head = make("tr", {}, ...columns.map((name, index) => heading(name, index, found?.index)));
  const rows = sample.map((cells) => make("tr", {}, ...columns.map((_, index) => make("td", { textContent: cells[index] ?? "", title: cells[index] ?? "" }))));
  const caption = isOfLeads() ? "First rows" : "First rows; choose the address column in the headings";
  table.replaceChildren(make("caption", { className: "said", textContent: caption }), make("thead", {}, head), make("tbody", {}, ...rows));
  mark(isOfLeads() ? -1 : (found?.index ?? -1));
  const picked = found && table.rows[0].cells[found.index];
  if (picked) box.querySelector(".scroll").scrollLeft = Math.max(0, picked.offsetLeft - 48);
}

function describe(answer) {
  const format = FORMATS[answer.format] ?? answer.format ?? "";
  const encoding = answer.encoding ? `, ${answer.encoding.toUpperCase()}` : "";
  if (isOfLeads()) return `${format}${encoding}. What each column holds is proposed below; change what is wrong.`;
  const found = answer.email_column ? `“${answer.email_column.name}” was found by itself; choose another if that is wrong.` : `None was found by itself; choose one.${answer.lead_columns?.company || answer.lead_columns?.domain ? " If there is none, choose above that e-mails are found." : ""}`;
  return format ? `${format}${encoding}. ${found}` : found;
}

export async function preview(file, url, token) {
  const turn = ++latest;
  const data = new FormData();
  data.append("file", file.slice(0, BEGINNING_BYTES), file.name);
  data.append("filename", file.name);
  data.append("purpose", purpose());
  let answer = null;
  try {
    const response = await fetch(url, { method: "POST", body: data, headers: { "X-CSRFToken": token, Accept: "application/json" } });
    answer = await response.json();
    if (!response.ok) answer = { problem: answer };
  } catch {
    return;
  }
  if (turn !== latest) return;
  const columns = answer.columns ?? [];
  box.hidden = false; // before the table is drawn: what is hidden has no width to scroll by
  box.querySelector("h2").textContent = !columns.length ? "No preview of this file" : isOfLeads() ? "The leads" : "Which column holds the address?";
  box.querySelector(".sheet").hidden = !columns.length;
  facts.textContent = columns.length ? describe(answer) : (answer.problem?.detail ?? "The column is found when the file is read.");
  offer(columns, answer.lead_columns ?? {});
  if (columns.length) draw(answer);
}
