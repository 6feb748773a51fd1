// What is to be done with a list, and which of its columns say who the leads are.

const form = document.getElementById("upload");
const box = document.getElementById("mapping");
const choices = [...box.querySelectorAll("select")];
const OF_LEADS = ["columns", "enrichment_types", "min_score", "provider", "cheapest_first"];

export const purpose = () => form.querySelector('input[name="purpose"]:checked').value;
export const isOfLeads = () => purpose() !== "verify";

// Names that the server made up ("Column 3", "City (2)") stand nowhere in the file: those columns go by their number.
export const reference = (name, index) => (/^Column \d+$| \(\d+\)$/.test(name) ? String(index + 1) : name);

function option(value, words) {
  return Object.assign(document.createElement("option"), { value, textContent: words });
}

// Offer the columns for each field, with what they seem to be.
export function offer(columns, suggested) {
  for (const choice of choices) {
    choice.replaceChildren(option("", "Not in the list"), ...columns.map((name, index) => option(reference(name, index), name)));
    const found = suggested[choice.dataset.field];
    choice.selectedIndex = found ? found.index + 1 : 0;
  }
  box.hidden = !isOfLeads() || !columns.length;
}

// Put what was chosen into the request, and leave out what is of another purpose.
export function complete(data) {
  if (!isOfLeads()) return OF_LEADS.forEach((name) => data.delete(name));
  for (const name of ["min_score", "provider", "cheapest_first"]) if (!data.get(name)) data.delete(name);
  data.delete("email_column");
  if (box.hidden) return;
  const named = choices.filter((choice) => choice.value).map((choice) => [choice.dataset.field, choice.value]);
  data.set("columns", JSON.stringify(Object.fromEntries(named)));
}

export function onPurpose(changed) {
  const words = form.querySelector("[data-words]");
  const say = () => {
    words.textContent = words.dataset.words.split("|")[["verify", "enrich", "enrich_verify"].indexOf(purpose())];
  };
  say();
  for (const choice of form.querySelectorAll('input[name="purpose"]')) {
    choice.addEventListener("change", () => {
      say();
      changed();
    });
  }
}
