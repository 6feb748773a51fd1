// Bring parts of a page up to date from its own address. The server renders each part once, in one place; here only what
// differs is exchanged, so that focus, selection and scrolling stay where they are.

import { Refused, ask } from "./poll.js";

function morph(from, to) {
  if (from.isEqualNode(to)) return;
  if (from.nodeType !== Node.ELEMENT_NODE || from.nodeName !== to.nodeName) {
    from.replaceWith(document.importNode(to, true));
    return;
  }
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name) && name !== "open") from.removeAttribute(name);
  for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  const [old, fresh] = [[...from.childNodes], [...to.childNodes]];
  fresh.forEach((node, at) => (at < old.length ? morph(old[at], node) : from.append(document.importNode(node, true))));
  old.slice(fresh.length).forEach((node) => node.remove());
}

// Nobody looks at the page that is fetched: what is shown once (app/console/shown_once.py) stays for the next that is.
const HEADERS = { Accept: "text/html", "X-Purpose": "preview" };

// Fetch `url` (a page) and renew the elements with these ids. Throws like `ask`; a sign-in page counts as 401.
export async function renew(ids, url = location.href) {
  const response = await ask(url, HEADERS);
  if (response.redirected && new URL(response.url).pathname !== new URL(url, location.href).pathname) {
    throw new Refused(new Response(null, { status: 401 }));
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const id of ids) {
    const [from, to] = [document.getElementById(id), page.getElementById(id)];
    if (from && to) morph(from, to);
  }
  return page;
}
