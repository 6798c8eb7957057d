// What the charts show: history read from the monitor now and then, and since then what each view added.

import { joined, numeric, rowsOf } from "./series.js";

export const RANGES = [
  [300, "5 min"],
  [1800, "30 min"],
  [7200, "2 h"],
  [43200, "12 h"],
  [86400, "24 h"],
]; // seconds
const READS_PER_RANGE = 60; // a range is read anew when a sixtieth of it has passed,
const READ_SECONDS_MIN = 5; // but not more often, nor more seldom:
const READ_SECONDS_MAX = 60;
export const LIVE_ROWS_MAX = 3600; // of a kind and market, an hour: a hidden tab reads no history that would replace them
const KINDS = ["fair", "quotes", "position", "profit"];

export class History {
  /** `onRead()` is called when there is something new to draw. */
  constructor(onRead) {
    this.onRead = onRead;
    this.range = 1800; // seconds
    this.markets = new Map(); // market id -> {fair, quotes, fills, position, profit} as read
    this.live = new Map(); // the same without fills, since that read
    this.answers = [];
    this.states = [];
    this.why = ""; // why nothing could be read
    this.readAt = -Infinity; // steady seconds
    this.reading = null;
    this.sequence = -1;
  }

  choose(range) {
    if (range === this.range) return;
    this.range = range;
    this.reading?.abort();
    this.reading = null;
    this.readAt = -Infinity;
  }

  /** What the maker's last word adds; the same word twice adds nothing. */
  add(state) {
    const mark = `${state.run_id} ${state.sequence}`;
    if (mark === this.sequence) return;
    this.sequence = mark;
    for (const market of state.markets) {
      if (!this.live.has(market.market_id)) this.live.set(market.market_id, { fair: [], quotes: [], position: [], profit: [] });
      const live = this.live.get(market.market_id);
      for (const [kind, row] of Object.entries(rowsOf(state, market))) if (row) push(live[kind], row);
    }
  }

  /** Read again where it is time. */
  async look() {
    const steady = performance.now() / 1000;
    const every = Math.min(READ_SECONDS_MAX, Math.max(READ_SECONDS_MIN, this.range / READS_PER_RANGE));
    if (this.reading || steady - this.readAt < every) return;
    this.readAt = steady;
    const reading = new AbortController();
    this.reading = reading;
    try {
      const answer = await fetch(`history?seconds=${this.range}`, { cache: "no-store", signal: reading.signal });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      this.take(await answer.json());
      this.why = "";
    } catch (error) {
      if (reading.signal.aborted) return; // another range was chosen
      this.why = `History cannot be read: ${error.message}.`;
    } finally {
      if (this.reading === reading) this.reading = null;
    }
    this.onRead();
  }

  take(told) {
    this.markets.clear();
    for (const [id, one] of Object.entries(told.markets ?? {})) {
      const kept = Object.fromEntries(KINDS.map((kind) => [kind, numeric(one[kind])]));
      kept.fills = (one.fills ?? []).map(([at, side, price]) => [Number(at), side, Number(price)]).sort((a, b) => a[0] - b[0]);
      this.markets.set(id, kept);
      const live = this.live.get(id);
      for (const kind of live ? KINDS : []) {
        const end = kept[kind].length ? kept[kind][kept[kind].length - 1][0] : -Infinity;
        // What was not yet written when it was read stays; a reading without any of a kind leaves all that was heard.
        live[kind] = live[kind].filter((row) => row[0] > end);
      }
    }
    this.answers = numeric(told.answers).filter((row) => row[1] > 0);
    this.states = told.states ?? [];
  }

  /** A market's rows within the range that ends at `now`, unix seconds. */
  of(id, now) {
    const since = now - this.range;
    const read = this.markets.get(id), live = this.live.get(id);
    const found = Object.fromEntries(KINDS.map((kind) => [kind, joined(read?.[kind] ?? [], live?.[kind] ?? [], since)]));
    found.fills = (read?.fills ?? []).filter((row) => row[0] >= since);
    return found;
  }
}

function push(rows, row) {
  rows.push(row);
  if (rows.length > LIVE_ROWS_MAX * 1.1) rows.splice(0, rows.length - LIVE_ROWS_MAX);
}
