// The upload page: drop or choose a file, see its first rows and pick the address column, send it and watch the transfer.
// Without this script the same form posts to the page itself.

import { bytes, number } from "./format.js";
import { preview, clear } from "./preview.js";
import { say } from "./poll.js";
import { complete, onPurpose } from "./purpose.js";
import { send } from "./transfer.js";

const form = document.getElementById("upload");
const at = (id) => document.getElementById(id);
const token = document.querySelector('meta[name="csrf-token"]').content;
let transfer = null;
let attempt = null;

function complain(problem) {
  const box = at("problem");
  const [title, words] = [document.createElement("strong"), problem.detail ?? ""];
  title.textContent = `${problem.title}. `;
  box.querySelector("div").replaceChildren(title, words);
  box.hidden = false;
  box.focus();
}

// One attempt has one idempotency key: sending it again after a broken connection can't make two jobs.
function newAttempt() {
  attempt = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function chosen() {
  const file = at("file").files[0];
  at("problem").hidden = true;
  newAttempt();
  clear();
  if (!file) return;
  if (file.size > Number(form.dataset.maxBytes)) {
    at("file").value = "";
    complain({ title: "Too large", detail: `“${file.name}” has ${bytes(file.size)}; the limit is ${bytes(Number(form.dataset.maxBytes))}. Split it and upload the parts.` });
    return;
  }
  preview(file, form.dataset.preview, token);
}

function dropped(event) {
  event.preventDefault();
  at("drop").classList.remove("over");
  const files = event.dataTransfer.files;
  if (transfer || !files.length) return;
  if (files.length > 1) return complain({ title: "One file at a time", detail: `You dropped ${number(files.length)} files. Each list becomes a job of its own.` });
  at("file").files = files;
  chosen();
}

function transferring(on) {
  at("transfer").hidden = !on;
  at("send").disabled = on;
  for (const part of form.querySelectorAll("input, select")) part.disabled = on;
}

function progress(sent, total) {
  at("sent").value = total ? (100 * sent) / total : 0;
  const whole = sent >= total;
  at("stop").disabled = whole;
  at("sent-text").textContent = whole ? "Sent. The file is being taken in." : `${bytes(sent)} of ${bytes(total)} sent`;
}

async function submitted(event) {
  event.preventDefault();
  const data = new FormData(form);
  for (const name of ["csrf_token", "tags", "email_column"]) if (name === "csrf_token" || !data.get(name)) data.delete(name);
  complete(data);
  at("problem").hidden = true;
  transferring(true);
  progress(0, 1);
  say("Transfer started.");
  transfer = send(form.dataset.api, data, { "X-CSRFToken": token, "Idempotency-Key": attempt, Accept: "application/json" }, progress);
  const answer = await transfer.answer;
  transfer = null;
  if (answer.ok) return location.assign(form.dataset.job.replace(/[0-9a-f-]{36}/, answer.body.id));
  transferring(false);
  // An answer was given, so the next attempt is another one; after a broken connection it is the same.
  if (answer.body) newAttempt();
  if (answer.aborted) say("Transfer cancelled. Nothing was kept.");
  complain(answer.body ?? (answer.aborted
    ? { title: "Transfer cancelled", detail: "Nothing was kept." }
    : { title: "The connection broke", detail: "Nothing was kept. Upload the file again when you are back online." }));
}

at("file").addEventListener("change", chosen);
onPurpose(() => at("file").files.length && chosen());
at("stop").addEventListener("click", () => transfer?.abort());
form.addEventListener("submit", submitted);
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", !transfer);
  });
}
document.addEventListener("dragleave", (event) => event.relatedTarget || at("drop").classList.remove("over"));
document.addEventListener("drop", dropped);
addEventListener("beforeunload", (event) => transfer && event.preventDefault());
addEventListener("pageshow", () => transferring(false));
for (const hint of document.querySelectorAll("[data-scripted]")) hint.hidden = false;
if (at("file").files.length) chosen();
else newAttempt();
