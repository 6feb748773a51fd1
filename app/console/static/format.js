// How scripts write numbers and times; app/console/formats.py says the same for what the server renders.

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const number = (value) => (value == null ? "–" : grouped.format(value));

// Rounded down: 100% is said only when nothing is left.
export const percent = (done, total) => (total ? `${Math.floor((done * 100) / total)}%` : "0%");

export function share(part, whole) {
  if (!whole) return "–";
  const value = (part * 100) / whole;
  return value > 0 && value < 0.5 ? "<1%" : `${Math.round(value)}%`;
}

export function duration(seconds) {
  if (seconds == null) return "–";
  const whole = Math.max(0, Math.round(seconds));
  for (const [size, unit, nextSize, nextUnit] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 0, ""]]) {
    if (whole >= size) {
      const rest = nextSize ? Math.floor((whole % size) / nextSize) : 0;
      return `${Math.floor(whole / size)} ${unit}` + (rest ? ` ${rest} ${nextUnit}` : "");
    }
  }
  return `${whole} s`;
}

export function rate(perSecond) {
  if (perSecond == null) return "–";
  if (perSecond >= 10) return `${number(perSecond)} per second`;
  if (perSecond === 0) return "0 per second";
  return perSecond >= 1 ? `${perSecond.toFixed(1)} per second` : `${(perSecond * 60).toFixed(0)} per minute`;
}

export function ago(time) {
  if (!time) return "–";
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  const days = Math.floor(seconds / 86400);
  if (days >= 1) return days === 1 ? "yesterday" : `${days} days ago`;
  return seconds < 10 ? "just now" : `${duration(seconds).split(" ").slice(0, 2).join(" ")} ago`;
}

export function bytes(count) {
  for (const [size, unit] of [[2 ** 30, "GB"], [2 ** 20, "MB"], [2 ** 10, "kB"]]) {
    if (count >= size) return `${(count / size).toFixed(count >= 10 * size ? 0 : 1)} ${unit}`;
  }
  return `${count} bytes`;
}
