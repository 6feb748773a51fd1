// What happens, as it happens. One stream of events while the page is seen; where there is none (too many viewers, a proxy
// that keeps them back, an older server), the page asks every few seconds instead, and tries the stream again now and then.

import { Poll } from "../poll.js";

const POLL_SECONDS = 5;
const AGAIN_MS = [30_000, 60_000];
const HIDDEN_MS = 60_000;
// All viewers hear of a restart at once; they must not all ask at once.
const SPREAD_MS = 2_000;
const between = ([least, most]) => least + Math.random() * (most - least);

export class Live {
  // `onJob(job)`: as it stands now. `onReset()`: read the list again; may return a promise. `onMode(words, name)`: how it goes.
  constructor(url, { onJob, onReset, onMode }) {
    Object.assign(this, { url, onJob, onReset, onMode, source: null, lastId: "", isLive: false, isStale: false, again: null, dog: null });
    this.poll = new Poll(POLL_SECONDS, async () => {
      if (this.isLive && !this.isStale) return;
      await this.onReset();
      this.isStale = false;
    });
    document.addEventListener("visibilitychange", () => this.seen());
    addEventListener("pagehide", () => this.close());
    this.open();
  }

  open() {
    this.close();
    const source = new EventSource(this.lastId ? `${this.url}?last_event_id=${this.lastId}` : this.url);
    this.source = source;
    const on = (name, act) => source.addEventListener(name, (event) => { this.lastId = event.lastEventId || this.lastId; this.watch(); act(event); });
    on("hello", (event) => this.greeted(JSON.parse(event.data)));
    on("job", (event) => this.onJob(JSON.parse(event.data)));
    on("reset", () => setTimeout(() => this.readAgain(), Math.random() * SPREAD_MS));
    on("beat", () => {});
    on("end", () => { this.fallBack(); this.poll.now(); });
    source.onerror = () => this.failed(source);
    this.watch();
  }

  greeted({ heartbeat_seconds }) {
    this.silence = 2500 * heartbeat_seconds;
    const wasLive = this.isLive;
    this.isLive = true;
    this.onMode("Live", "live");
    // What was read before the stream began may be old.
    if (!wasLive) this.readAgain();
  }

  // Until it has worked; the poll says what is in the way.
  readAgain() {
    this.isStale = true;
    this.poll.now();
  }

  // A stream that says nothing for so long is dead, whatever the browser believes.
  watch() {
    clearTimeout(this.dog);
    this.dog = setTimeout(() => this.open(), this.silence ?? 20_000);
  }

  failed(source) {
    if (source !== this.source) return;
    // Otherwise the browser connects again by itself.
    if (source.readyState === EventSource.CLOSED) this.fallBack();
    else if (this.isLive) { this.isLive = false; this.onMode("Connecting again", "off"); }
  }

  fallBack() {
    this.close();
    this.onMode(`Asking every ${POLL_SECONDS} s`, "poll");
    clearTimeout(this.again);
    this.again = setTimeout(() => document.hidden || this.poll.ended || this.open(), between(AGAIN_MS));
  }

  close() {
    clearTimeout(this.dog);
    this.isLive = false;
    this.source?.close();
    this.source = null;
  }

  // A page that nobody looks at gives its connection back: a browser has six to a server.
  seen() {
    clearTimeout(this.leave);
    if (document.hidden) this.leave = setTimeout(() => { this.close(); this.onMode("Paused", "off"); }, HIDDEN_MS);
    else if (!this.source && !this.poll.ended) this.open();
  }
}
