// Show how the file was understood: its first rows as a table whose headings are the choice of the address column.
// Only the beginning of the file is sent for it. A preview that can't be had never stands in the way of the upload.

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

// Names that the server made up ("Column 3", "City (2)") stand nowhere in the file: those columns go by their number.
const reference = (name, index) => (/^Column \d+$| \(\d+\)$/.test(name) ? String(index + 1) : name);

function heading(name, index, found) {
  const radio = make("input", { type: "radio", name: "email_column", value: reference(name, index), required: true, checked: index === found });
  radio.addEventListener("change", () => mark(index));
  return make("th", { scope: "col" }, make("label", {}, radio, make("span", { textContent: name, title: name })));
}

function draw({ columns, sample, email_column: found }) {
  const head = make("tr", {}, ...columns.map((name, index) => heading(name, index, found?.index)));
  const rows = sample.map((cells) => make("tr", {}, ...columns.map((_, index) => make("td", { textContent: cells[index] ?? "", title: cells[index] ?? "" }))));
  table.replaceChildren(make("caption", { className: "said", textContent: "First rows; choose the address column in the headings" }), make("thead", {}, head), make("tbody", {}, ...rows));
  mark(found?.index ?? -1);
  const picked = found && table.rows[0].cells[found.index];
  if (picked) box.querySelector(".scroll").scrollLeft = Math.max(0, picked.offsetLeft - 48);
}

function describe(answer) {
  const format = FORMATS[answer.format] ?? answer.format ?? "";
  const encoding = answer.encoding ? `, ${answer.encoding.toUpperCase()}` : "";
  const found = answer.email_column ? `“${answer.email_column.name}” was found by itself; choose another if that is wrong.` : "None was found by itself; choose one.";
  return format ? `${format}${encoding}. ${found}` : found;
}

export async function preview(file, url, token) {
  const turn = ++latest;
  const data = new FormData();
  data.append("file", file.slice(0, BEGINNING_BYTES), file.name);
  data.append("filename", file.name);
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
  box.querySelector("h2").textContent = columns.length ? "Which column holds the address?" : "No preview of this file";
  box.querySelector(".sheet").hidden = !columns.length;
  facts.textContent = columns.length ? describe(answer) : (answer.problem?.detail ?? "The column is found when the file is read.");
  if (columns.length) draw(answer);
}
