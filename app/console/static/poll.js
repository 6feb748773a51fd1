// Ask again and again, politely: slower while the page is hidden, backing off while the server can't be reached, never two
// at once. What goes wrong is said in words beside the page's content; a screen reader hears it once, not each second.

const HIDDEN_SECONDS = 30;
const LONGEST_SECONDS = 60;
const PATIENCE_MS = 15_000;

// The server answered, but not with what was asked for.
export class Refused extends Error {
  constructor(response) {
    super(`${response.status}`);
    this.status = response.status;
    this.retryAfter = Number(response.headers.get("Retry-After")) || null;
  }
}

// Fetch with a deadline. Returns the response, also a 304; throws Refused or a network error.
export async function ask(url, headers = {}) {
  const response = await fetch(url, { headers, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok && response.status !== 304) throw new Refused(response);
  return response;
}

export function say(words) {
  const said = document.getElementById("said");
  if (said && said.textContent !== words) said.textContent = words;
}

export class Poll {
  // `turn` is called every `seconds`; it may return false to end the polling.
  constructor(seconds, turn) {
    Object.assign(this, { seconds, turn, failures: 0, timer: null, busy: false, ended: false });
    this.box = document.getElementById("connection");
    this.words = this.box?.querySelector("[data-connection]");
    this.box?.querySelector("[data-retry-now]").addEventListener("click", () => this.now());
    document.addEventListener("visibilitychange", () => this.visible());
    this.wait(seconds);
  }

  visible() {
    if (this.ended || this.busy) return;
    if (document.hidden) this.wait(Math.max(HIDDEN_SECONDS, this.seconds));
    else this.now();
  }

  now() {
    if (this.ended || this.busy) return;
    clearTimeout(this.timer);
    this.run();
  }

  wait(seconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.run(), seconds * 1000);
  }

  // While the connection is lost, count down where people can see it.
  countDown(what, left) {
    clearTimeout(this.timer);
    if (left <= 0) return this.run();
    this.words.textContent = `${what}, retrying in ${left} s.`;
    this.timer = setTimeout(() => this.countDown(what, left - 1), 1000);
  }

  async run() {
    this.busy = true;
    let goOn = true;
    try {
      goOn = (await this.turn()) !== false;
      this.recovered();
    } catch (error) {
      this.busy = false;
      return this.failed(error);
    }
    this.busy = false;
    if (goOn) this.wait(document.hidden ? Math.max(HIDDEN_SECONDS, this.seconds) : this.seconds);
    else this.ended = true;
  }

  recovered() {
    if (this.failures) say("Connected again.");
    this.failures = 0;
    if (this.box) this.box.hidden = true;
  }

  failed(error) {
    if (error instanceof Refused && [401, 403, 404].includes(error.status)) return this.end(error.status);
    this.failures += 1;
    const seconds = error.retryAfter ?? Math.min(LONGEST_SECONDS, 2 ** this.failures);
    if (!this.box) return this.wait(seconds);
    this.box.hidden = false;
    const what = error instanceof Refused ? "The server can't answer" : "Connection lost";
    if (this.failures === 1) say(`${what}. Trying again by itself.`);
    this.countDown(what, Math.round(seconds));
  }

  end(status) {
    this.ended = true;
    if (!this.box) return;
    this.box.hidden = false;
    this.box.querySelector("[data-retry-now]").hidden = true;
    this.words.textContent = status === 401 ? "You are signed out. Reload the page to sign in again." : "This page is no longer available to you.";
    say(this.words.textContent);
  }
}
