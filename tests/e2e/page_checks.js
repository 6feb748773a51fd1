// What a page must fulfil for people who can't see it well, or at all. Returns a list of problems in words.
() => {
  const problems = [];
  const shown = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length > 0;
  const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
  const describe = (element) => element.outerHTML.replace(/\s+/g, " ").slice(0, 90);

  if (!document.documentElement.lang) problems.push("no language");
  if (!document.title.includes("Laneway")) problems.push(`title "${document.title}"`);
  for (const [selector, count] of [["main", 1], ["header", 1], ["h1", 1]]) {
    if (all(selector).length !== count) problems.push(`${all(selector).length} ${selector}`);
  }
  let level = 0;
  for (const heading of all("h1, h2, h3, h4")) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) problems.push(`heading skips to h${next}: ${heading.textContent}`);
    level = next;
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids.filter((id, at) => ids.indexOf(id) !== at)) problems.push(`id twice: ${id}`);
  for (const attribute of ["aria-labelledby", "aria-describedby", "for"]) {
    for (const element of document.querySelectorAll(`[${attribute}]`)) {
      if (!document.getElementById(element.getAttribute(attribute))) problems.push(`${attribute} names nothing: ${describe(element)}`);
    }
  }
  const nameOf = (element) =>
    element.getAttribute("aria-label") || document.getElementById(element.getAttribute("aria-labelledby"))?.textContent ||
    [...(element.labels ?? [])].map((label) => label.textContent).join("") || element.textContent || "";
  for (const element of all("a[href], button, input:not([type=hidden]), select, [role=progressbar], progress, meter, [role=region], nav, dialog")) {
    if (!nameOf(element).trim()) problems.push(`no name: ${describe(element)}`);
  }
  for (const table of all("table")) if (!table.querySelector("th[scope]")) problems.push("a table without headings");
  for (const image of all("svg")) if (!image.closest("[aria-hidden=true]")) problems.push(`picture is read out: ${describe(image)}`);
  // What a script sets is no inline style to the policy; the charts place their parts so.
  for (const element of document.querySelectorAll("[style]:not(.uplot, .uplot *), [onclick]")) problems.push(`inline: ${describe(element)}`);

  // Nothing runs over the edge; what scrolls sideways does so inside a region that the keyboard reaches.
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) problems.push(`${wide} px wider than the window`);
  for (const element of all("main *")) {
    const scrolls = element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).overflowX === "auto";
    if (scrolls && element.tabIndex < 0 && !element.querySelector("a[href], button, input")) problems.push(`scrolls without the keyboard: ${describe(element)}`);
  }
  // Big enough to hit (WCAG 2.2, 2.5.8); links within a sentence are excepted.
  for (const element of all("button, .button, nav a, select, input:not([type=hidden]):not([type=radio])")) {
    const { width, height } = element.getBoundingClientRect();
    if (width < 24 || height < 24) problems.push(`small: ${describe(element)}`);
  }

  // Contrast of every text (WCAG 1.4.3): 4.5, or 3 where it is large.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const backdrop = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return [255, 255, 255, 1];
  };
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !shown(element) || element.closest(".said, .skip, :disabled, script, noscript, option")) continue;
    const style = getComputedStyle(element);
    const [light, dark] = [luminance(rgba(style.color)), luminance(backdrop(element))].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) problems.push(`contrast ${ratio.toFixed(1)}: ${walker.currentNode.textContent.trim().slice(0, 40)}`);
  }
  return problems;
}
