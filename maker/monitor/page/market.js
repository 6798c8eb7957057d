// The chosen market: its figures, and our ladder level by level within the book.

import { attribute, byId, list, make, makeBar, pair, setBar, shown, text } from "./dom.js";
import { NONE, bps, bpsFrom, fixed, limit, money, price, sentence, span } from "./figures.js";
import { nearness, setMoney, sizePlaces } from "./markets.js";

const FIGURES = [
  ["fair", "Fair value"],
  ["mark", "Mark"],
  ["position", "Position"],
  ["entry", "Entry"],
  ["value", "Position value"],
  ["unrealized", "Unrealised"],
  ["profit", "Profit of this run"],
  ["parts", "Attribution"],
  ["fills", "Fills"],
  ["age", "Quotes' age"],
  ["stream", "Event stream"],
];

export class Market {
  constructor() {
    this.values = {};
    for (const [key, name] of FIGURES) {
      const made = pair(name, key === "parts" ? ".wide" : "");
      this.values[key] = made.value;
      byId("market-figures").append(made.node);
    }
    this.bar = makeBar("Position against its limit", ".signed");
    this.valueBar = makeBar("Value of the position against its limit");
    this.values.position.after(this.bar.node);
    this.values.value.after(this.valueBar.node);
    this.parts = ["spread", "inventory", "fees", "funding"].map((name) => {
      const value = make("span");
      this.values.parts.append(make("span.part", {}, `${name} `, value));
      return [name, value];
    });
    this.empty = make("p.note", {}, "Nothing of ours rests.");
    byId("ladder").parentElement.after(this.empty);
  }

  /** Bring it up to date; `market` is null where there is none. `since`: seconds since its ages were true. */
  update(market, since) {
    shown(byId("market"), market !== null);
    if (!market) return;
    const idle = market.state !== "quoting";
    text(byId("market-name"), market.market_id);
    const said = idle ? `${market.state}: ${market.sentence || "no reason is told"}` : market.sentence;
    const unpriced = market.no_fair && !said.includes(market.no_fair) ? ` No fair value: ${sentence(market.no_fair)}` : "";
    text(byId("market-why"), sentence(said) + unpriced);
    attribute(byId("market-why"), "data-level", idle ? "warn" : null);
    this.updateFigures(market, since);
    list(byId("ladder"), rows(market), (row) => row.key, createRow, updateRow);
    shown(this.empty, !market.quotes.length);
  }

  updateFigures(market, since) {
    const { values } = this;
    const aged = (age) => (age === null ? NONE : span(age + since));
    const width = market.fair_half_width_bps === null ? "" : ` ± ${fixed(market.fair_half_width_bps, 1)} bps`;
    text(values.fair, market.fair === null ? "none" : price(market.fair, market.tick) + width);
    text(values.mark, price(market.mark, market.tick));
    const places = sizePlaces(market), held = Number(market.position), most = Number(market.position_max);
    const words = `${fixed(market.position, places, true)} of ±${limit(market.position_max)}`;
    text(values.position, words);
    setBar(this.bar, { low: -most, high: most, value: held, from: 0, mark: 0, words, level: nearness(held, most) });
    text(values.entry, held ? price(market.entry, market.tick) : NONE);
    const worth = `${money(market.position_value)} of ${limit(market.position_value_max)}`;
    text(values.value, worth);
    const [value, valueMost] = [Number(market.position_value ?? 0), Number(market.position_value_max)];
    setBar(this.valueBar, { high: valueMost, value, words: worth, level: nearness(value, valueMost) });
    setMoney(values.unrealized, market.unrealized);
    setMoney(values.profit, market.profit?.total ?? null);
    for (const [name, node] of this.parts) setMoney(node, market.profit?.[name] ?? null);
    text(values.fills, fixed(market.fills, 0));
    text(values.age, market.quotes.length ? aged(market.quotes_age_seconds) : NONE);
    const heard = market.stream_age_seconds === null ? "" : `, heard ${aged(market.stream_age_seconds)} ago`;
    text(values.stream, market.stream + heard);
    attribute(values.stream, "data-level", market.stream === "live" ? null : "bad");
  }
}

/** The ladder from the highest price down: our levels, the book's best where it is not ours, fair value between. */
export function rows(market) {
  const { tick, fair } = market;
  const biggest = Math.max(...market.quotes.map((quote) => Number(quote.size)), 0);
  const places = sizePlaces(market);
  const make = (key, side, name, value, best, size = null) => ({
    key, kind: side, name, best,
    at: Number(value),
    price: price(value, tick),
    size: size === null ? "" : fixed(size, places),
    share: size === null || !biggest ? 0 : Number(size) / biggest,
    from: bps(bpsFrom(value, fair)),
  });
  const found = [];
  for (const [side, name, best] of [["sell", "ask", market.best_ask], ["buy", "bid", market.best_bid]]) {
    const ours = market.quotes.filter((quote) => quote.side === side);
    const isBest = (quote) => best !== null && Number(quote.price) === Number(best);
    // By level, not by price: a ladder that moves keeps its rows.
    ours.forEach((quote, level) => found.push(make(`${side} ${level}`, side, name, quote.price, isBest(quote), quote.size)));
    if (best !== null && !ours.some(isBest)) found.push(make(`${side} others`, side, `${name} of others`, best, true));
  }
  if (fair !== null) found.push({ ...make("fair", "fair", "fair", fair, false), from: "" });
  const order = { sell: 0, fair: 1, buy: 2 };
  return found.sort((a, b) => b.at - a.at || order[a.kind] - order[b.kind]);
}

function createRow() {
  const bar = make("i.size"), best = make("span.best", {}, "best");
  const cells = [make("th", { scope: "row" }), make("td.number"), make("td.number"), make("td.number")];
  const side = make("span");
  cells[0].append(side, best);
  const size = make("span");
  cells[1].append(bar, size);
  const node = make("tr", {}, ...cells);
  node.parts = { side, best, bar, size, price: cells[2], from: cells[3] };
  return node;
}

function updateRow(node, row) {
  const { parts } = node;
  attribute(node, "class", row.size || row.kind === "fair" ? row.kind : `${row.kind} others`);
  text(parts.side, row.name);
  shown(parts.best, row.best);
  text(parts.size, row.size);
  text(parts.price, row.price);
  text(parts.from, row.from === NONE ? "" : row.from);
  const stretch = `scaleX(${row.share.toFixed(3)})`;
  if (parts.bar.dataset.at !== stretch) {
    parts.bar.dataset.at = stretch;
    parts.bar.style.transform = stretch;
  }
}
