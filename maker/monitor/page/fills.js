// What was filled, and what happened: two lists that are read now and then.

import { attribute, byId, list, make, setSign, shown, sign, text } from "./dom.js";
import { NONE, bps, clock, fixed, money, placesFor, price, sentence } from "./figures.js";
import { markout } from "./series.js";
import { levelOf } from "./words.js";

export const FILLS_MAX = 50; // asked for and shown
export const EVENTS_MAX = 60; // shown
export const HORIZONS = ["1", "5", "30", "60"]; // seconds after a fill
const READ_SECONDS = 30; // again after so long, for markouts that came due
const READ_SECONDS_NEW = 3; // and no more often when fills come in

export class Fills {
  constructor() {
    this.fills = [];
    this.market = "";
    this.readFor = ""; // what the last read was made for: market and count
    this.readAt = -Infinity; // steady seconds
    this.why = "not read yet"; // why the list says nothing
  }

  /** Read again where fills came in, or markouts may have come due. Resolves when done; failures are shown, not raised. */
  async look(market) {
    const steady = performance.now() / 1000;
    const wanted = market ? `${market.market_id} ${market.fills}` : "";
    const age = steady - this.readAt;
    const other = market?.market_id !== this.market;
    if (!market || (!other && age < (wanted === this.readFor ? READ_SECONDS : READ_SECONDS_NEW))) return;
    this.readAt = steady;
    this.readFor = wanted;
    if (other) {
      this.fills = [];
      this.why = "being read";
    }
    this.market = market.market_id;
    try {
      const answer = await fetch(`fills?market=${encodeURIComponent(market.market_id)}&limit=${FILLS_MAX}`, { cache: "no-store" });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      const told = await answer.json();
      if (this.market !== market.market_id) return; // another was chosen meanwhile
      this.fills = told.fills ?? [];
      this.why = "";
    } catch (error) {
      this.why = `cannot be read: ${error.message}`;
    }
  }

  update(market, now) {
    const fills = [...this.fills].sort((a, b) => b.at - a.at).slice(0, FILLS_MAX);
    const places = placesFor(fills.map((fill) => fill.size));
    const words = fills.length ? `the last ${fills.length} of ${this.market}` : `none of ${this.market || "any market"} yet`;
    text(byId("fills-note"), this.why || words);
    shown(byId("fills-scroll"), fills.length > 0);
    shown(byId("markouts-note"), fills.length > 0);
    const seen = new Map();
    const keyed = fills.map((fill) => {
      const name = `${fill.at} ${fill.side} ${fill.price} ${fill.size}`;
      seen.set(name, (seen.get(name) ?? 0) + 1);
      return { fill, key: `${name} ${seen.get(name)}` };
    });
    list(byId("fill-list"), keyed, (one) => one.key, createFill, (node, { fill }) => {
      const { parts } = node;
      attribute(node, "class", fill.side);
      text(parts.at, clock(fill.at, now));
      text(parts.side, `${fill.side === "buy" ? "▲ bought" : "▼ sold"}${fill.liquidity === "taker" ? ", taker" : ""}`);
      text(parts.size, fixed(fill.size, places));
      text(parts.price, price(fill.price, market?.tick ?? fill.price));
      text(parts.level, fill.level === null || fill.level === undefined ? NONE : String(fill.level));
      text(parts.fee, money(fill.fee));
      HORIZONS.forEach((horizon, at) => {
        const value = markout(fill, horizon);
        text(parts.markouts[at], bps(value));
        attribute(parts.markouts[at], "data-sign", value > 0 ? "gain" : value < 0 ? "loss" : null);
      });
    });
  }
}

function createFill() {
  const cell = (name, kind = "td.number") => make(kind, { "data-name": name });
  const parts = {
    at: make("th", { scope: "row" }), side: cell("side", "td.side"), size: cell("size"), price: cell("price"),
    level: cell("level"), fee: cell("fee"), markouts: HORIZONS.map((horizon) => cell(`${horizon} s`)),
  };
  const node = make("tr", {}, parts.at, parts.side, parts.size, parts.price, parts.level, parts.fee, ...parts.markouts);
  node.parts = parts;
  return node;
}

/** Show the changes of state of a history, newest first: [unix seconds, scope, state, sentence]. */
export function updateEvents(states, now) {
  const newest = [...states].sort((a, b) => b[0] - a[0]).slice(0, EVENTS_MAX);
  text(byId("events-note"), newest.length ? "" : "nothing in this time");
  list(byId("event-list"), newest, (row) => row.join(" "), createEvent, (node, [at, scope, state, said]) => {
    const { parts } = node;
    setSign(parts.sign, levelOf(state));
    text(parts.at, clock(at, now));
    text(parts.scope, scope);
    text(parts.said, sentence(said || state));
  });
}

function createEvent() {
  const parts = { sign: sign("quiet"), at: make("time"), scope: make("span.scope"), said: make("span.said") };
  const node = make("li", {}, parts.sign, parts.at, parts.scope, parts.said);
  node.parts = parts;
  return node;
}
