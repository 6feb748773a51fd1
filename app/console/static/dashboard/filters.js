// What is shown: the page's address holds it, so that Back, reload and links work.

const form = document.getElementById("filters");
const NAMES = ["status", "q", "type", "tag", "priority", "created_after", "created_before"];
const TYPING_MS = 300;

// An old link, or a year half typed or with a digit too many, would be refused each time it is asked, and look like a server that is away.
const isOption = (name) => (value) => [...form.elements[name].options].some((option) => option.value === value);
const isDay = (value) => /^[12]\d{3}-\d\d-\d\d$/.test(value) && new Date(`${value}T00:00:00Z`).toJSON()?.startsWith(value);
const isShort = (name) => (value) => value.length <= form.elements[name].maxLength;
const CHECKS = {
  status: (value) => [...document.querySelectorAll("#tabs a")].some((tab) => tab.dataset.status === value),
  q: isShort("q"), tag: isShort("tag"), type: isOption("type"), priority: isOption("priority"), created_after: isDay, created_before: isDay,
};
const known = (filter) => Object.fromEntries(NAMES.map((name) => [name, filter[name] ?? ""]).filter(([name, value]) => value && CHECKS[name](value)));

export const read = () => known(Object.fromEntries(new URLSearchParams(location.search)));

function write(filter) {
  const query = new URLSearchParams(filter).toString();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
}

// As the API takes it: a day is from its first moment to that of the next.
export function forApi(filter) {
  const { created_after: from, created_before: until, ...told } = filter;
  if (from) told.createdAfter = `${from}T00:00:00Z`;
  if (until) told.createdBefore = new Date(Date.parse(`${until}T00:00:00Z`) + 86_400_000).toISOString();
  if (told.priority) told.priority = Number(told.priority);
  return told;
}

// Whether a job that just changed belongs into what is shown; the API decides the same by the same fields.
export function fits(job, filter) {
  const { createdAfter: after, createdBefore: before } = forApi(filter);
  return (!filter.status || job.status === filter.status) && (!filter.type || job.kind === filter.type) &&
    (!filter.tag || job.tags.includes(filter.tag)) && (!filter.priority || job.priority === Number(filter.priority)) &&
    (!filter.q || job.title.toLowerCase().includes(filter.q.toLowerCase())) &&
    (!after || Date.parse(job.created_at) >= Date.parse(after)) && (!before || Date.parse(job.created_at) < Date.parse(before));
}

function show(filter) {
  // Where somebody is typing, what is not whole yet stays.
  for (const field of form.elements) if (field.name && field !== document.activeElement) field.value = filter[field.name] ?? "";
  for (const tab of document.querySelectorAll("#tabs a")) {
    if (tab.dataset.status === (filter.status ?? "")) tab.setAttribute("aria-current", "true");
    else tab.removeAttribute("aria-current");
  }
}

// Calls `onChange(filter)` whenever something else is to be shown.
export function watch(onChange) {
  let typing;
  const go = (changes) => {
    const filter = known({ ...read(), ...changes });
    write(filter);
    show(filter);
    onChange(filter);
  };
  const fromForm = () => go(Object.fromEntries(new FormData(form)));
  form.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(fromForm, TYPING_MS); });
  form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(typing); fromForm(); });
  form.addEventListener("reset", () => setTimeout(fromForm));
  document.getElementById("tabs").addEventListener("click", (event) => {
    const tab = event.target.closest("a");
    if (!tab || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go({ status: tab.dataset.status });
  });
  addEventListener("popstate", () => { show(read()); onChange(read()); });
  show(read());
}
