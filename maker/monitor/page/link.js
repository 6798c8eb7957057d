// The wire to the monitor: views come as Server-Sent Events, one a second.
//
// A browser opens at most six connections to one address, for all its tabs together, and an event stream holds one for
// as long as it lasts: with a stream a tab, the seventh tab, or the kill button of any, would wait for ever. So the tabs
// share one stream: whoever holds a lock hears it and passes it on. A tab that is passed nothing opens its own.
//
// A stream that is open but silent is as good as none: it is opened anew. How long ago the last view came is asked of
// two clocks, since one of them stands still while a machine sleeps, and the other may be set.

export const RETRY_SECONDS = [0.5, 1, 2, 4, 8]; // after an error; the last one again and again
export const SILENT_SECONDS = 10; // an open stream that says nothing for so long is opened anew
export const ALONE_SECONDS = 3; // passed nothing for so long: this tab listens for itself

export class Link {
  /** `onView(view)` is called with each view, `onWhy(sentence)` with why there is none, "" when there is again. */
  constructor(path, onView, onWhy) {
    Object.assign(this, { path, onView, onWhy });
    this.why = "";
    this.heard = null; // {unix, steady}: both clocks at the last view, seconds
    this.began = both(); // of this attempt
    this.source = null;
    this.failures = 0;
    this.timer = 0;
    this.channel = null;
  }

  start() {
    if (globalThis.BroadcastChannel && navigator.locks) {
      this.channel = new BroadcastChannel("maker-views");
      this.channel.onmessage = (event) => this.take(event.data);
      navigator.locks.request("maker-events", () => {
        this.open();
        return new Promise(() => {}); // held until this tab is gone
      });
    } else {
      this.open();
    }
    addEventListener("pageshow", (event) => event.persisted && this.open());
    addEventListener("pagehide", () => this.close());
    setInterval(() => this.look(), 1000);
  }

  /** Seconds since the last view, or since the first attempt. */
  silent() {
    const last = this.heard ?? this.began;
    const now = both();
    return Math.max(now.unix - last.unix, now.steady - last.steady, 0);
  }

  open() {
    this.close();
    this.opened = both();
    const source = new EventSource(this.path);
    this.source = source;
    source.addEventListener("view", (event) => {
      this.opened = both();
      if (this.take(event.data)) this.channel?.postMessage(event.data);
    });
    source.onerror = () => this.again("the monitor cannot be reached, or has no place for another page");
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  again(why) {
    this.close();
    this.tell(why);
    const seconds = RETRY_SECONDS[Math.min(this.failures, RETRY_SECONDS.length - 1)];
    this.failures += 1;
    this.timer = setTimeout(() => this.open(), seconds * (750 + Math.random() * 500));
  }

  look() {
    if (this.source) {
      if (seconds(this.opened) > SILENT_SECONDS) this.again("the monitor's stream is open and says nothing");
    } else if (this.channel && !this.failures && this.silent() > ALONE_SECONDS) {
      this.open();
    }
  }

  take(data) {
    let view;
    try {
      view = JSON.parse(data);
      if (typeof view !== "object" || view === null || !("state" in view)) throw new SyntaxError("no view");
    } catch {
      this.tell("what the monitor sends cannot be read: is this page older than it? Load it again");
      return false;
    }
    this.heard = both();
    this.failures = 0;
    this.tell("");
    this.onView(view);
    return true;
  }

  tell(why) {
    this.why = why;
    this.onWhy(why);
  }
}

function both() {
  return { unix: Date.now() / 1000, steady: performance.now() / 1000 };
}

function seconds(since) {
  const now = both();
  return Math.max(now.unix - since.unix, now.steady - since.steady, 0);
}
