// The page: a view a second comes in, and what changed is written. Everything that reckons is in the other files.
//
// Its title and sign follow in a hidden tab too; all else waits until somebody looks.

import { Charts } from "./charts.js";
import { attribute, byId, list, make, setSign, shown, sign, text } from "./dom.js";
import { clock, span } from "./figures.js";
import { Fills, updateEvents } from "./fills.js";
import { History, RANGES } from "./history.js";
import { Kill } from "./kill.js";
import { Link } from "./link.js";
import { Market } from "./market.js";
import { Markets } from "./markets.js";
import { Panels } from "./panels.js";
import { LINK_SILENT_SECONDS, announcementKey, makerSilent, title, verdict } from "./words.js";

const HINT = "Times are UTC. Drag over a chart to look closer; a double click, or Escape, shows all again.";
const LONG = 110; // letters of a headline that would fill a phone at full size
const SHORTEST_SECONDS = 60; // of the charts' stretch of time

class Page {
  constructor() {
    this.view = null;
    this.offset = 0; // the maker's clock less ours, seconds
    this.zoom = null; // [from, until] in unix seconds; null: the whole range, up to now
    this.announced = "";
    this.due = 0;
    const [market, range] = fromAddress();
    this.chosen = market;
    this.link = new Link("events", (view) => this.take(view), () => this.look());
    this.kill = new Kill(() => this.view?.state?.account_name ?? "", () => this.now());
    this.panels = new Panels();
    this.markets = new Markets((id) => this.choose(id));
    this.market = new Market();
    this.charts = new Charts(byId("charts"), (from, until = 0) => this.setZoom(from === null ? null : [from, until]));
    this.history = new History(() => this.later());
    if (range) this.history.choose(range);
    this.fills = new Fills();
    this.createRanges();
    document.addEventListener("visibilitychange", () => this.look());
    setInterval(() => this.look(), 1000);
    this.link.start();
    this.look();
  }

  /** Unix seconds by the maker's clock. */
  now() {
    return Date.now() / 1000 + this.offset;
  }

  /** How old the maker's word is, seconds. */
  stateAge() {
    return (this.view?.state_age_seconds ?? 0) + this.link.silent();
  }

  /** Whether nothing here is of now: the monitor is silent, or has said that it ends. */
  lost() {
    return this.link.silent() > LINK_SILENT_SECONDS || Boolean(this.view?.monitor?.ends);
  }

  take(view) {
    this.view = view;
    if (view.state) {
      this.offset = view.state.sent_at + (view.state_age_seconds ?? 0) - Date.now() / 1000;
      this.history.add(view.state);
    }
    this.kill.follow(view);
    this.look();
  }

  /** Once a second, and whenever something came: headline and title at once, the rest with the next frame. */
  look() {
    this.updateHeadline();
    if (document.hidden) return;
    this.later();
    if (this.view?.state && !this.lost()) {
      this.history.look();
      this.fills.look(this.shownMarket()).then(() => this.later());
    }
  }

  later() {
    if (this.due || document.hidden) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      if (!document.hidden) this.update(); // hidden since it was asked for
    });
  }

  updateHeadline() {
    const silent = this.link.silent(), now = this.now();
    const shownNow = verdict(this.view, { silent, at: now - silent, why: this.link.why }, this.stateAge(), now);
    const state = this.view?.state;
    const name = title(shownNow, state?.account_name);
    if (document.title !== name) document.title = name;
    attribute(byId("icon"), "href", `icon-${shownNow.level}.svg`);
    attribute(document.documentElement, "data-level", shownNow.level);
    setSign(byId("state-sign"), shownNow.level);
    text(byId("word"), shownNow.word);
    text(byId("headline"), shownNow.text);
    attribute(byId("headline"), "data-long", shownNow.text.length > LONG ? "yes" : null);
    text(byId("since"), this.since(shownNow, now));
    const create = (one) => make("li", {}, sign(one.level, one.level), make("span", {}, one.text));
    list(byId("more"), shownNow.more, (one) => one.text, create, (node, one) => setSign(node.firstElementChild, one.level, one.level));
    this.announce(shownNow);
    setSign(byId("link-sign"), this.lost() ? "lost" : this.view ? "good" : "quiet");
    text(byId("link"), this.lost() ? "not live" : this.view ? "live" : "connecting");
    text(byId("clock"), `${clock(now)} UTC`);
  }

  /** Since when it is so; without a link, what is tried. */
  since(shownNow, now) {
    const state = this.view?.state;
    if (this.view?.monitor?.ends) {
      const ended = this.view.maker === "alive" ? "was stopped" : "ended with its run";
      return `as of ${clock(now - this.link.silent(), now)} UTC, when the monitor ${ended}; nothing below is live`;
    }
    if (shownNow.level === "lost") {
      const tried = this.link.why && `trying again: ${this.link.why}`;
      return [this.view && `silent for ${span(this.link.silent())}`, tried].filter(Boolean).join("; ");
    }
    if (!state) return "";
    if (this.old()) return `the maker's last word: ${state.state}`;
    return `${state.state} since ${clock(state.state_at, now)} UTC, for ${span(now - state.state_at)}`;
  }

  announce(shownNow) {
    const key = announcementKey(shownNow);
    if (key === this.announced) return;
    this.announced = key;
    const urgent = shownNow.level === "lost" || shownNow.level === "bad";
    text(byId(urgent ? "polite" : "assertive"), "");
    text(byId(urgent ? "assertive" : "polite"), `${shownNow.word}: ${shownNow.text}`);
  }

  shownMarket() {
    const markets = this.view?.state?.markets ?? [];
    return markets.find((market) => market.market_id === this.chosen) ?? markets[0] ?? null;
  }

  update() {
    const { view } = this;
    const state = view?.state ?? null;
    shown(byId("nothing"), view !== null && !state);
    shown(byId("figures"), state !== null);
    this.updateOld();
    if (!view) return;
    const now = this.now(), since = this.stateAge();
    this.panels.update(view, since, now);
    if (!state) return;
    text(byId("account"), state.account_name);
    const mode = byId("mode");
    shown(mode, true);
    text(mode, state.mode);
    attribute(mode, "data-mode", state.mode);
    const market = this.shownMarket();
    this.markets.update(state.markets, market?.market_id, since);
    this.market.update(market, since);
    this.fills.update(market, now);
    updateEvents(this.history.states, now);
    text(byId("history-note"), this.history.why || HINT);
    // While nothing is live the charts stand still: a line that moves on looks alive.
    const end = now - (this.old() ? since : 0);
    if (market) {
      const rows = this.history.of(market.market_id, end);
      const answers = this.history.answers.filter((row) => row[0] >= end - this.history.range);
      this.charts.draw(market, rows, answers, this.zoom ?? [Math.max(end - this.history.range, began(rows, end)), end]);
    }
  }

  old() {
    return this.view !== null && (this.lost() || makerSilent(this.view, this.stateAge()) || this.view.maker === "gone");
  }

  /** Figures that are not of now look like it, and say how old they are. */
  updateOld() {
    const old = this.old() && Boolean(this.view?.state);
    attribute(document.documentElement, "data-old", old ? (this.lost() ? "link" : "maker") : null);
    shown(byId("old"), old);
    if (!old) return;
    const age = this.stateAge();
    const who = this.lost() ? "Nothing below is live: all is" : "Hatched figures are the maker's last word,";
    text(byId("old-words"), `${who} as of ${clock(this.now() - age, this.now())} UTC, ${span(age)} ago.`);
  }

  choose(id) {
    this.chosen = id;
    this.toAddress();
    this.look();
    this.update();
    const moving = matchMedia("(prefers-reduced-motion: no-preference)").matches;
    byId("market").scrollIntoView({ block: "nearest", behavior: moving ? "smooth" : "auto" });
  }

  setZoom(zoom) {
    this.zoom = zoom;
    shown(this.whole, zoom !== null);
    this.later();
  }

  createRanges() {
    const host = byId("ranges");
    this.whole = make("button.whole", { type: "button", hidden: "" }, "Show all");
    this.whole.addEventListener("click", () => this.setZoom(null));
    host.append(this.whole);
    for (const [seconds, name] of RANGES) {
      const input = make("input", { type: "radio", name: "range", value: seconds });
      input.checked = seconds === this.history.range;
      input.addEventListener("change", () => {
        this.history.choose(seconds);
        this.setZoom(null);
        this.toAddress();
        this.look();
      });
      host.append(make("label", {}, input, make("span", {}, name)));
    }
  }

  /** The choice stays in the address, so that a reload or a sent link shows the same. */
  toAddress() {
    const words = new URLSearchParams({ market: this.chosen, range: this.history.range });
    history.replaceState(null, "", `#${words}`);
  }
}

/** From when on there is something to see, so that a run that has only begun is not a line at the edge. */
function began(rows, end) {
  const first = Math.min(...[rows.fair, rows.quotes, rows.position].map((some) => some[0]?.[0] ?? end));
  return Math.min(first, end - SHORTEST_SECONDS);
}

function fromAddress() {
  const words = new URLSearchParams(location.hash.slice(1));
  const range = Number(words.get("range"));
  return [words.get("market") ?? "", RANGES.some(([seconds]) => seconds === range) ? range : 0];
}

new Page();
