// Tiles and charts: what the client's jobs did in a window of time. The figures are of whole minutes, so they are asked for
// now and then; how deep the queue is has no past in them, so that line begins with this page.

import { duration, number } from "../format.js";
import { ask } from "../poll.js";
import { api, rows } from "./dom.js";

const EVERY_MS = 15_000;
const HEIGHT = 120;
// The line that begins with this page is at least so long; from so long on, an axis names days.
const LEAST_SECONDS = 300;
const LONG_SECONDS = 2 * 86_400;
const STEPS = [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4, 5, 6, 7].map((power) => n * 10 ** power)).sort((a, b) => a - b);
// Of the line that begins with this page: more points than pixels tell nothing.
const MOST_POINTS = 240;
const tile = (name, words) => { document.querySelector(`[data-tile="${name}"]`).textContent = words; };
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const share = (value) => (value == null ? "–" : `${(100 * value).toFixed(value === 1 || value === 0 ? 0 : 1)}%`);

class Chart {
  constructor(name, colour, words, range, dots = false) {
    Object.assign(this, { box: document.getElementById(`chart-${name}`), said: document.getElementById(`chart-${name}-said`), colour, words, range, dots, plot: null });
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.plot?.destroy(); this.plot = null; if (this.data) this.show(this.data); });
  }

  size() {
    return { width: Math.max(120, this.box.clientWidth), height: HEIGHT };
  }

  show(data) {
    this.data = data;
    const known = data[1].filter((value) => value != null);
    this.said.textContent = known.length ? `${this.words(known.at(-1))} now, at most ${this.words(Math.max(...known))}, at least ${this.words(Math.min(...known))}` : "Nothing yet";
    // The words of its axis depend on how long the window is.
    const range = data[0].at(-1) - data[0][0];
    if (this.plot && (range > LONG_SECONDS) === this.isLong) return this.plot.setData(data);
    this.plot?.destroy();
    this.isLong = range > LONG_SECONDS;
    const named = (at) => new Date(at * 1000).toLocaleString("en-GB", { timeZone: "UTC", ...(this.isLong ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" }) });
    const line = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "12px ui-sans-serif, sans-serif" };
    const x = { ...line, space: 60, size: 26, values: (_, ticks) => ticks.map(named) };
    const y = { ...line, size: 52, incrs: STEPS, values: (_, ticks) => ticks.map(this.words) };
    const series = [{}, { stroke: css(this.colour), width: 1.5, fill: `${css(this.colour)}22`, points: { show: this.dots, size: 5, fill: css(this.colour) }, spanGaps: false }];
    // eslint-disable-next-line no-undef
    this.plot = new uPlot({ ...this.size(), padding: [8, 20, 0, 0], legend: { show: false }, cursor: { show: false }, axes: [x, y], scales: { y: { range: this.range } }, series, tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "UTC") }, data, this.box);
  }
}

// From zero to a little above the highest.
const fromZero = (_, __, most) => [0, Math.max(1, (most ?? 0) * 1.1)];
const charts = {
  throughput: new Chart("throughput", "--accent", number, fromZero),
  success: new Chart("success", "--valid", (value) => `${Math.round(value)}%`, () => [0, 100], true),
  depth: new Chart("depth", "--catch_all", number, fromZero),
};
const depths = [[], []];

// One value a step of the answer, from the first to now, empty ones included; a rate is of a minute.
function series(told) {
  const end = Math.floor(Date.parse(told.at) / 60_000);
  const minutes = Math.ceil(told.window_seconds / 60);
  const step = told.step_seconds / 60;
  const first = Math.floor((end - minutes + 1) / step) * step;
  const n = Math.floor((end - first) / step) + 1;
  const [times, done, failed] = [Array.from({ length: n }, (_, at) => (first + at * step) * 60), Array(n).fill(0), Array(n).fill(0)];
  for (const minute of told.per_minute) {
    const at = Math.floor((Date.parse(minute.minute) / 60_000 - first) / step);
    if (at < 0 || at >= n) continue;
    done[at] += minute.items_done;
    failed[at] += minute.items_failed;
  }
  return { rates: [times, done.map((rows) => rows / step)], successes: [times, done.map((rows, at) => (rows ? (100 * (rows - failed[at])) / rows : null))] };
}

function show(told) {
  const { jobs, queue } = told;
  const depth = queue.reduce((sum, { depth }) => sum + depth, 0);
  const oldest = Math.max(0, ...queue.map(({ oldest_seconds }) => oldest_seconds));
  const ended = jobs.completed + jobs.failed + jobs.dead_letter + jobs.cancelled;
  tile("throughput", number(jobs.items_done / (told.window_seconds / 60)));
  tile("throughput_more", rows(jobs.items_done));
  tile("success", share(jobs.success_rate));
  tile("success_more", jobs.items_failed ? `${rows(jobs.items_failed)} failed` : "no row failed");
  tile("depth", number(depth));
  tile("depth_more", depth ? `oldest waits ${duration(oldest)}` : "nothing is due");
  tile("took", told.latency_ms.p50 == null ? "–" : duration(told.latency_ms.p50 / 1000));
  tile("took_more", told.latency_ms.p99 == null ? "no job ended" : `99 of 100 within ${duration(told.latency_ms.p99 / 1000)}`);
  tile("ended", number(ended));
  tile("ended_more", `${number(jobs.created)} made`);
  tile("given_up", number(jobs.dead_letter + jobs.failed));
  tile("given_up_more", jobs.dead_letter ? `${number(jobs.dead_letter)} given up` : "none given up");
  const { rates, successes } = series(told);
  charts.throughput.show(rates);
  charts.success.show(successes);
  // A line has two ends.
  if (!depths[0].length) depths.forEach((line, at) => line.push(at ? null : Date.parse(told.at) / 1000 - LEAST_SECONDS));
  depths[0].push(Date.parse(told.at) / 1000);
  depths[1].push(depth);
  if (depths[0].length > MOST_POINTS) depths.forEach((line) => line.shift());
  charts.depth.show([[...depths[0]], [...depths[1]]]);
}

const choice = document.getElementById("window");

// What goes wrong here is said by the list, which asks the same server.
async function read() {
  const told = await ask(`${api}/metrics?window=${choice.value}`).then((answer) => answer.json(), () => null);
  if (told && String(told.window_seconds) === choice.value) show(told);
}

export function begin() {
  choice.addEventListener("change", read);
  setInterval(() => document.hidden || read(), EVERY_MS);
  document.addEventListener("visibilitychange", () => document.hidden || read());
  read();
}
