// The cards about the whole run: profit and what made it, the account, requests, safety, feeds, alerts.

import { attribute, byId, list, make, makeBar, pair, setBar, setSign, shown, sign, text, textWithCode } from "./dom.js";
import { NONE, answerTime, clock, fixed, limit, money, percent, sentence, span, timed } from "./figures.js";
import { nearness, setMoney } from "./markets.js";
import { AUDIT_SILENT_SECONDS, KEY_SECONDS, count, readBefore } from "./words.js";

const PARTS = ["spread", "inventory", "fees", "funding"];
const CHECKS = [
  ["empty", "Last empty"],
  ["maker", "Maker"],
  ["guard", "Guard"],
  ["exchange", "Exchange"],
  ["audit", "Audit"],
  ["latch", "Latch"],
  ["key", "Key"],
];
const ALERT_LEVELS = { critical: "bad", warning: "warn", info: "quiet" };
const FEED_LEVELS = { live: "good", stale: "warn", down: "bad" };

/** A row of a name, a value and, where wanted, a bar below it. */
function row(parent, name, bar = "") {
  const made = pair(name);
  if (bar) {
    made.bar = makeBar(name, bar === true ? "" : bar);
    made.node.append(made.bar.node);
  }
  parent.append(made.node);
  return made;
}

export class Panels {
  constructor() {
    this.parts = PARTS.map((name) => {
      const bar = makeBar(name, ".signed.gain"), value = make("span.value");
      byId("money-parts").append(make("li", {}, make("span.name", {}, name), bar.node, value));
      return { name, bar, value };
    });
    const risk = byId("risk"), requests = byId("requests"), safety = byId("safety");
    this.risk = {
      headroom: row(risk, "Margin headroom", true),
      today: row(risk, "Loss today", true),
      drawdown: row(risk, "Drawdown", true),
    };
    this.requests = {
      bar: makeBar("Requests left of this minute", ".budget"),
      reserve: row(requests, "Kept for cancels"),
      spent: row(requests, "Spent by this run"),
      throttled: row(requests, "Answered 429"),
      answers: row(requests, "Answers, median"),
      slow: row(requests, "99th percentile"),
    };
    byId("requests-left").after(this.requests.bar.node);
    this.checks = Object.fromEntries(
      CHECKS.map(([key, name]) => {
        const made = { sign: sign("quiet"), value: make("dd") };
        made.node = make("div", {}, make("dt", {}, made.sign, make("span", {}, name)), made.value);
        safety.append(made.node);
        return [key, made];
      }),
    );
  }

  /** Bring all up to date. `since`: seconds since the ages in the view were true; `now`: unix seconds. */
  update(view, since, now) {
    const { state } = view;
    this.updateAlerts(view.alerts ?? [], now);
    text(byId("monitor"), monitorWords(view.monitor, now));
    if (!state) return;
    this.updateProfit(state, now);
    this.updateRisk(state.account);
    this.updateRequests(state);
    this.updateChecks(view, now);
    this.updateFeeds(state, since);
  }

  updateProfit(state, now) {
    const profit = state.account.profit;
    text(byId("money-since"), `of this run, ${span(now - state.started_at)}`);
    setMoney(byId("money-total"), profit?.total ?? null);
    const reach = Math.max(...PARTS.map((name) => Math.abs(Number(profit?.[name] ?? 0))));
    for (const { name, bar, value } of this.parts) {
      const amount = profit?.[name] ?? null;
      setMoney(value, amount);
      const level = Number(amount) < 0 ? "loss" : "";
      setBar(bar, { low: -reach, high: reach, value: Number(amount ?? 0), mark: 0, words: money(amount, true), level });
    }
  }

  updateRisk(account) {
    text(byId("equity"), money(account.equity));
    const { headroom, today, drawdown } = this.risk;
    const free = account.headroom;
    const step = account.margin_step === "ample" ? "" : `, ${account.margin_step}`;
    const words = free === null ? NONE : `${percent(free)}${step}`;
    text(headroom.value, words);
    setBar(headroom.bar, { high: 1, value: free ?? 0, words, level: { ample: "", warn: "warn" }[account.margin_step] ?? "bad" });
    this.updateLoss(today, account.loss_today, account.loss_day_max);
    this.updateLoss(drawdown, account.drawdown, account.drawdown_max);
  }

  updateLoss(made, lost, most) {
    const words = lost === null ? NONE : most === null ? money(lost) : `${money(lost)} of ${limit(most)}`;
    text(made.value, words);
    shown(made.bar.node, most !== null);
    if (most !== null) setBar(made.bar, { high: Number(most), value: Number(lost ?? 0), words, level: nearness(lost ?? 0, most) });
  }

  updateRequests(state) {
    const { bar, reserve, spent, throttled, answers, slow } = this.requests;
    const budget = state.budget;
    const left = budget ? Math.floor(budget.left) : null;
    const words = budget ? `${fixed(left, 0)} of ${fixed(budget.limit, 0)} left` : NONE;
    text(byId("requests-left"), words);
    shown(bar.node, Boolean(budget));
    if (budget) {
      const level = budget.left <= budget.reserve ? "warn" : "";
      const told = `${words}, ${fixed(budget.reserve, 0)} kept for cancels`;
      setBar(bar, { high: budget.limit, value: budget.left, mark: budget.reserve, words: told, level });
    }
    text(reserve.value, budget ? fixed(budget.reserve, 0) : NONE);
    text(spent.value, budget ? fixed(budget.spent, 0) : NONE);
    text(throttled.value, budget ? fixed(budget.throttled, 0) : NONE);
    attribute(throttled.value, "data-level", budget?.throttled ? "warn" : null);
    text(answers.value, answerTime(state.answer_seconds_p50));
    text(slow.value, answerTime(state.answer_seconds_p99));
  }

  updateChecks(view, now) {
    const { state, audit } = view;
    const emptyAt = state.verified_empty_at;
    const owed = state.pulled_at !== null && state.pulled_at > (emptyAt ?? 0); // pulled, and not yet read back
    const level = owed ? "warn" : state.state === "quoting" || emptyAt === null ? "quiet" : "good";
    this.check("empty", level, emptyAt === null ? "not read back in this run" : `read back ${span(now - emptyAt)} ago`);
    const ended = view.maker === "gone" && state.state === "ending";
    this.process("maker", ended ? "ended" : view.maker, `run ${state.run_id}`);
    this.process("guard", ended && view.monitor?.ends ? "ended" : view.guard, "");
    shown(this.checks.exchange.node, Boolean(view.exchange));
    if (view.exchange) this.check("exchange", ...exchangeWords(view.exchange, state, now));
    this.check("latch", view.latched ? "bad" : "good", view.latched ? `on: ${timed(view.latched)}` : "off");
    if (!audit) this.check("audit", "quiet", view.monitor?.key === "none" ? "none: the monitor has no key" : "none yet");
    else if (audit.agrees && readBefore(audit.at, state)) {
      this.check("audit", "quiet", `agreed ${span(now - audit.at)} ago, before quotes were pulled`);
    } else {
      const old = now - audit.at > AUDIT_SILENT_SECONDS;
      this.check("audit", !audit.agrees ? "bad" : old ? "warn" : "good", `${audit.sentence || "agrees"}, ${span(now - audit.at)} ago`);
    }
    const key = state.key;
    const left = key.expires_at === null ? Infinity : key.expires_at - now;
    const expires = left === Infinity ? "no expiry is known" : left > 0 ? `${span(left)} left` : "expired";
    const keyLevel = left <= 0 ? "bad" : left < KEY_SECONDS ? "warn" : "good";
    this.check("key", keyLevel, [key.key_id, key.scope, expires].filter(Boolean).join(", "));
  }

  process(name, life, more) {
    const level = { alive: "good", gone: "bad" }[life] ?? "quiet";
    this.check(name, level, life === "alive" && more ? `alive, ${more}` : life);
  }

  check(name, level, words) {
    const made = this.checks[name];
    setSign(made.sign, level);
    text(made.value, words);
  }

  updateFeeds(state, since) {
    const streams = state.markets.map((market) => ({
      name: market.market_id,
      kind: "OCX events",
      level: market.stream === "live" ? "good" : "bad",
      state: market.stream,
      sentence: "",
      age: market.stream_age_seconds,
    }));
    const feeds = state.feeds.map((feed) => ({
      name: feed.name,
      kind: "reference",
      level: FEED_LEVELS[feed.state] ?? "quiet",
      state: feed.state,
      sentence: feed.sentence,
      age: feed.age_seconds,
    }));
    list(byId("feed-list"), [...feeds, ...streams], (feed) => `${feed.kind} ${feed.name}`, createFeed, (node, feed) => {
      const { parts } = node;
      setSign(parts.sign, feed.level);
      text(parts.state, feed.state);
      text(parts.age, feed.age === null ? NONE : span(feed.age + since));
      shown(parts.sentence, Boolean(feed.sentence));
      text(parts.sentence, sentence(feed.sentence));
    });
  }

  updateAlerts(alerts, now) {
    shown(byId("alerts"), alerts.length > 0);
    list(byId("alert-list"), alerts, (alert) => `${alert.name} ${alert.subject ?? alert.at}`, createAlert, (node, alert) => {
      const { parts } = node;
      const level = ALERT_LEVELS[alert.severity] ?? "quiet";
      setSign(parts.sign, level, alert.severity);
      attribute(node, "data-level", level);
      text(parts.sentence, sentence(alert.sentence || alert.name));
      shown(parts.todo, Boolean(alert.what_to_do));
      textWithCode(parts.todo, sentence(alert.what_to_do));
      const since = alert.since ?? alert.at;
      text(parts.when, `${alert.name} · since ${clock(since, now)} UTC, ${span(now - since)}`);
      text(parts.delivered, { true: "sent", false: "not sent: the alert path fails" }[alert.delivered] ?? "");
      attribute(parts.delivered, "data-level", alert.delivered === false ? "bad" : null);
    });
  }
}

/** What the monitor itself read of the exchange: how many orders rest, others' included, and when. */
function exchangeWords({ open_orders: orders, read_at: at, why_not: why }, state, now) {
  if (orders === null) return ["quiet", why || "not read yet"];
  if (orders && readBefore(at, state)) return ["quiet", `read ${span(now - at)} ago, before quotes were pulled`];
  const words = `${count(orders, "order rests", "orders rest")}, read ${span(now - at)} ago`;
  return why ? ["warn", `${words}; ${why}`] : ["good", words];
}

function createFeed(feed) {
  const parts = {
    sign: sign("quiet"), state: make("span.state"), age: make("span.age"), sentence: make("p.why"),
  };
  const name = make("span.name", {}, feed.name, make("small", {}, ` ${feed.kind}`));
  const node = make("li", {}, parts.sign, name, parts.state, parts.age, parts.sentence);
  node.parts = parts;
  return node;
}

function createAlert(alert) {
  const parts = {
    sign: sign("quiet", alert.severity), sentence: make("p.said"), todo: make("p.todo"), when: make("span"),
    delivered: make("span.delivered"),
  };
  const note = make("p.note", {}, parts.when, " ", parts.delivered);
  const node = make("li", {}, parts.sign, make("div", {}, parts.sentence, parts.todo, note));
  node.parts = parts;
  return node;
}

function monitorWords(monitor, now) {
  if (!monitor) return "";
  const key = monitor.key === "none" ? "without a key" : `with a ${monitor.key} key`;
  return `Monitor ${monitor.version}, ${key}, running for ${span(now - monitor.started_at)}. All times are UTC.`;
}
