// The list of markets: one row each, with the ladder drawn on a line of prices and the position against its limit.

import { attribute, byId, list, make, makeBar, makeSvg, setBar, setSign, shown, sign, text } from "./dom.js";
import { fixed, limit, money, placesFor, price, sentence, span } from "./figures.js";
import { marketLevel } from "./words.js";

const WIDTH = 240, HEIGHT = 34, FLOOR = 29; // of the strip, in its own units
const BAR = 3; // width of one quote
const NEAR = 0.8; // of a limit: from here on it is shown as a warning

export class Markets {
  /** `onChoose(market id)` is called when somebody chooses one. */
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.list = byId("market-list");
  }

  /** Bring the list up to date. `since` is how many seconds ago the ages in it were true. */
  update(markets, chosen, since) {
    const quoting = markets.filter((market) => market.state === "quoting").length;
    text(byId("markets-count"), markets.length ? `${quoting} of ${markets.length} quoting` : "none yet");
    list(
      this.list,
      markets,
      (market) => market.market_id,
      (market) => this.create(market),
      (node, market) => update(node.parts, market, market.market_id === chosen, since),
    );
  }

  create(market) {
    const parts = {
      sign: sign("quiet", "state"),
      button: make("button.name", { type: "button" }, market.market_id),
      state: make("span.state"),
      fair: cell("Fair value"),
      touch: cell("Best bid and ask"),
      strip: makeStrip(),
      position: cell("Position"),
      bar: makeBar("Position against its limit", ".signed"),
      unrealized: cell("Unrealised"),
      profit: cell("Profit"),
      age: cell("Quotes' age"),
      why: make("p.why"),
    };
    parts.position.node.append(parts.bar.node);
    parts.button.addEventListener("click", () => this.onChoose(market.market_id));
    const head = make("div.who", {}, parts.sign, parts.button, parts.state);
    const node = make(
      "li.row", {}, head, parts.fair.node, parts.touch.node, parts.strip.node, parts.position.node, parts.unrealized.node,
      parts.profit.node, parts.age.node, parts.why,
    );
    node.parts = parts;
    return node;
  }
}

function cell(name) {
  const value = make("span.value");
  return { node: make("div.cell", {}, make("span.name", {}, name), value), value };
}

function update(parts, market, chosen, since) {
  const level = marketLevel(market);
  setSign(parts.sign, level, market.state);
  attribute(parts.button, "aria-pressed", String(chosen));
  text(parts.state, market.state);
  text(parts.fair.value, price(market.fair, market.tick));
  text(parts.touch.value, touch(market));
  updateStrip(parts.strip, market);
  updatePosition(parts, market);
  setMoney(parts.unrealized.value, market.unrealized);
  setMoney(parts.profit.value, market.profit?.total ?? null);
  const age = market.quotes.length && market.quotes_age_seconds !== null ? market.quotes_age_seconds + since : null;
  text(parts.age.value, span(age));
  shown(parts.why, level !== "good" || Boolean(market.no_fair));
  text(parts.why, sentence(level !== "good" ? market.sentence || market.no_fair : market.no_fair));
}

/** Best bid and ask of the book as one text. */
export function touch(market) {
  if (market.best_bid === null && market.best_ask === null) return "–";
  return `${price(market.best_bid, market.tick)} / ${price(market.best_ask, market.tick)}`;
}

/** Decimals that show every size of a market whole. */
export function sizePlaces(market) {
  return placesFor([market.position, ...market.quotes.map((quote) => quote.size)]);
}

/** An amount of money with its sign, coloured besides. */
export function setMoney(node, value) {
  text(node, money(value, true));
  const amount = Number(value ?? 0);
  attribute(node, "data-sign", amount > 0 ? "gain" : amount < 0 ? "loss" : null);
}

/** How near a value is to its limit, as a level: "" | warn | bad. */
export function nearness(value, limit) {
  const share = Math.abs(Number(value)) / Number(limit);
  return share > 1 ? "bad" : share >= NEAR ? "warn" : "";
}

function updatePosition(parts, market) {
  const most = Number(market.position_max), held = Number(market.position);
  const places = sizePlaces(market);
  const words = `${fixed(market.position, places, true)} of ±${limit(market.position_max)}`;
  text(parts.position.value, words);
  setBar(parts.bar, { low: -most, high: most, value: held, from: 0, mark: 0, words, level: nearness(held, most) });
}

// -- the strip -----------------------------------------------------------------------------------------------------

function makeStrip() {
  const quotes = makeSvg("g");
  const lines = Object.fromEntries(["fair", "bid", "ask"].map((name) => [name, makeSvg("path", { class: `s-${name}` })]));
  const floor = makeSvg("path", { class: "s-floor", d: `M0 ${FLOOR}.5H${WIDTH}` });
  const drawing = makeSvg(
    "svg",
    { class: "strip", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", preserveAspectRatio: "none" },
    floor, lines.bid, lines.ask, quotes, lines.fair,
  );
  return { node: make("div.cell.drawn", {}, drawing), drawing, quotes, lines };
}

/** Draw our quotes, the book's best and fair value on one line of prices, symmetric around fair value. */
function updateStrip(strip, market) {
  const scale = scaleOf(market);
  attribute(strip.drawing, "aria-label", stripWords(market));
  const biggest = Math.max(...market.quotes.map((quote) => Number(quote.size)), 0);
  const bars = scale ? market.quotes : [];
  while (strip.quotes.childElementCount < bars.length) strip.quotes.append(makeSvg("rect", { width: BAR }));
  while (strip.quotes.childElementCount > bars.length) strip.quotes.lastChild.remove();
  bars.forEach((quote, at) => {
    const height = Math.max(2, (Number(quote.size) / biggest) * (FLOOR - 5));
    const bar = strip.quotes.children[at];
    attribute(bar, "class", quote.side === "buy" ? "s-buy" : "s-sell");
    attribute(bar, "x", (scale(quote.price) - BAR / 2).toFixed(1));
    attribute(bar, "y", (FLOOR - height).toFixed(1));
    attribute(bar, "height", height.toFixed(1));
  });
  line(strip.lines.fair, scale, market.fair, `V${FLOOR}`, 1);
  line(strip.lines.bid, scale, market.best_bid, "l-3.5 5h7z", FLOOR);
  line(strip.lines.ask, scale, market.best_ask, "l-3.5 5h7z", FLOOR);
}

function line(path, scale, value, shape, top) {
  attribute(path, "d", scale && value !== null ? `M${scale(value).toFixed(1)} ${top}${shape}` : "M0 0");
}

/** From a price to its place on the strip; null where no price is known. */
function scaleOf(market) {
  const prices = [market.best_bid, market.best_ask, ...market.quotes.map((quote) => quote.price)];
  const known = prices.filter((one) => one !== null).map(Number);
  if (!known.length) return null;
  const low = Math.min(...known), high = Math.max(...known);
  const middle = market.fair !== null ? Number(market.fair) : (low + high) / 2;
  const reach = Math.max(high - middle, middle - low, Number(market.tick)) * 1.08;
  return (value) => Math.min(WIDTH - 3, Math.max(3, ((Number(value) - middle) / reach + 1) * (WIDTH / 2)));
}

function stripWords(market) {
  const side = (name) => market.quotes.filter((quote) => quote.side === name);
  const best = (quotes) => price(quotes[0].price, market.tick);
  const told = (quotes, word) => (quotes.length ? `${quotes.length} ${word}, best at ${best(quotes)}` : `no ${word}`);
  return `${told(side("buy"), "bids")}; ${told(side("sell"), "asks")}`;
}
