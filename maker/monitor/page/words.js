// What a view means, in one sentence and a level. Nothing here touches the page.
//
// Every rule looks at the whole view and says what it finds wrong; the worst of it is the headline, the rest stands
// below. A view may contradict itself (a maker that says it quotes, a process that is gone): what was looked at from
// outside outranks what the maker said of itself.
//
//   lost   nothing here is live: this page hears nothing of the monitor
//   bad    somebody must look, now
//   warn   quotes are held back, or something will need somebody soon
//   quiet  on its way up or down, or nothing is known yet
//   good   quoting

import { clock, sentence, span } from "./figures.js";

export const LEVELS = ["lost", "bad", "warn", "quiet", "good"]; // the worst first

// Told apart without colours: in the title a letter, on the page and in the tab a shape of its own.
export const SIGNS = { lost: "⊘", bad: "✖", warn: "▲", quiet: "◌", good: "●" };

export const LINK_SILENT_SECONDS = 4; // a view comes each second: three in a row are missing
export const STATE_SILENT_SECONDS = 5; // the maker tells its state as often
export const AUDIT_SILENT_SECONDS = 60; // an audit runs every few seconds
const LATE_SECONDS = 5; // the longest a ladder may be on its way, `[guard] write_delay_seconds_max`, and one more
export const KEY_SECONDS = 14 * 86400; // the maker tells of it for as long

const STATES = { quoting: "good", "not quoting": "warn", pulling: "warn", starting: "quiet", ending: "quiet" };

const MARGIN_STEPS = {
  warn: ["warn", "margin headroom is getting small"],
  shrink: ["warn", "margin is short: quotes are smaller"],
  "reduce only": ["bad", "margin is short: only what reduces a position is quoted"],
  flatten: ["bad", "margin is nearly gone: quotes are pulled for good"],
};

/** How a live.State's state is shown. An unknown word is shown as it is, and as nothing to rely on. */
export function levelOf(state) {
  return Object.hasOwn(STATES, state) ? STATES[state] : "quiet";
}

/** How a market's state is shown. */
export function marketLevel(market) {
  return market.state === "quoting" ? "good" : "warn";
}

/** Whether the maker's word is too old to be shown as if it were now. Takes its age in seconds. */
export function makerSilent(view, age) {
  return Boolean(view?.state) && age > STATE_SILENT_SECONDS;
}

/** Every finding about a view: {level, text}, the worst first, each text once. `now` is unix seconds. */
export function findings(view, stateAge, now) {
  const found = [];
  const add = (level, text, more = {}) => found.push({ level, text: sentence(text), ...more });
  const { state, maker, guard, latched, audit, alerts = [], monitor } = view;
  const empty = readEmpty(view, now);
  const latch = latched ? `latched until somebody has looked: ${latched}` : "";

  if (audit && !audit.agrees) add("bad", audit.sentence || "the exchange and the maker's account disagree");
  if (maker === "gone" && view.exchange?.open_orders > 0 && !readBefore(view.exchange.read_at, state)) {
    add("bad", `${count(view.exchange.open_orders, "order rests", "orders rest")} on the exchange, and the maker is gone`);
  }
  const over = maker === "gone" && empty && (guard === "gone" || monitor?.ends || state?.state === "ending");
  if (over) {
    // What came of the quotes comes first, and in one breath with why nothing starts.
    const ended = guard === "gone" || monitor?.ends ? "the run has ended" : "the maker has ended";
    const text = latch ? `${ended}, and ${empty}. ${sentence(latch)}` : `${ended}, and ${empty}`;
    add(latch ? "bad" : "warn", text, { word: latch ? "Latched" : "Ended" });
  } else if (maker === "gone" && monitor?.ends) {
    add("bad", "the run has ended, and nothing here says that the exchange was read back empty: cancel-all makes sure");
  } else if (maker === "gone" && guard === "gone") {
    add("bad", "maker and guard are gone, and nobody has read the exchange back empty: quotes may rest");
  } else if (maker === "gone") {
    add("bad", "the maker is gone; its guard cancels everything and reads the exchange back");
  } else if (guard === "gone") {
    add("bad", "the guard is gone; the maker pulls its quotes and ends");
  }
  if (latch && !over) add("bad", latch);
  if (state && maker !== "gone" && stateAge > STATE_SILENT_SECONDS) {
    add("bad", `the maker has said nothing since ${clock(now - stateAge, now)} UTC`);
  }
  for (const alert of alerts) {
    if (alert.severity !== "info") add(alert.severity === "critical" ? "bad" : "warn", alert.sentence || alert.name, { alert: true });
  }
  const undelivered = alerts.filter((alert) => alert.delivered === false).length;
  if (undelivered) add("warn", `alerts do not get out: ${count(undelivered, "was", "were")} not delivered`);
  if (audit && audit.agrees && now - audit.at > AUDIT_SILENT_SECONDS) {
    add("warn", `the exchange was last compared with the journal ${span(now - audit.at)} ago`);
  }
  if (state && maker !== "gone") found.push(...ofState(state, now));
  if (!state && maker !== "gone") add("quiet", "nothing heard of the maker yet");
  if (monitor && monitor.key === "none") add("quiet", "the monitor has no key: nobody compares the exchange with the journal");
  return found.length ? sorted(found) : [{ level: "quiet", text: "Nothing is known of the maker." }];
}

/** What the maker says of itself. */
function ofState(state, now) {
  const found = [{ level: levelOf(state.state), text: sentence(state.sentence || state.state), said: true }];
  const idle = state.markets.filter((market) => market.state !== "quoting");
  if (state.state === "quoting" && idle.length) {
    const names = idle.slice(0, 3).map((market) => market.market_id).join(", ");
    const more = idle.length > 3 ? ` and ${idle.length - 3} more` : "";
    found.push({ level: "warn", text: sentence(`not quoted: ${names}${more}`) });
  }
  const step = state.account?.margin_step ?? "ample";
  if (step !== "ample") {
    const [level, text] = MARGIN_STEPS[step] ?? ["bad", `margin is short: ${step}`];
    found.push({ level, text: sentence(text) });
  }
  const expires = state.key?.expires_at;
  if (expires !== null && expires !== undefined && expires - now < KEY_SECONDS) {
    const text = expires > now ? `the key expires in ${span(expires - now)}` : "the key has expired";
    found.push({ level: expires > now ? "warn" : "bad", text: sentence(text) });
  }
  return found;
}

/** Whether something was read of the exchange before the maker read it back empty at its end: it shows what was pulled. */
export function readBefore(at, state) {
  return state?.state === "ending" && wasReadEmpty(state) && at <= state.verified_empty_at;
}

function wasReadEmpty({ verified_empty_at: at, pulled_at: pulledAt, state }) {
  return at !== null && at !== undefined && state !== "quoting" && at >= (pulledAt ?? Infinity);
}

/** Why the exchange may be believed to hold nothing of ours now that nobody is there; "" where nothing says so. */
function readEmpty(view, now) {
  if (view.state && wasReadEmpty(view.state)) return `the exchange was read back empty at ${clock(view.state.verified_empty_at, now)} UTC`;
  // What was seen while the maker still spoke is no witness: it may have quoted since, and a last ladder may land late.
  const since = Math.max(now - AUDIT_SILENT_SECONDS, (view.state?.sent_at ?? 0) + LATE_SECONDS);
  const { open_orders: orders, read_at: readAt } = view.exchange ?? {};
  if (orders === 0 && readAt >= since) return `nothing rested on the exchange at ${clock(readAt, now)} UTC`;
  if (view.audit?.agrees && view.audit.at >= since) return view.audit.sentence || "the audit agrees";
  return "";
}

function sorted(found) {
  const seen = new Set();
  return found
    .filter(({ text }) => text && !seen.has(text) && seen.add(text))
    .map((one, at) => ({ one, at }))
    .sort((a, b) => LEVELS.indexOf(a.one.level) - LEVELS.indexOf(b.one.level) || a.at - b.at)
    .map(({ one }) => one);
}

/**
 * The headline: {level, word, text, more}. `link` is {silent: seconds since the last view, at: unix seconds of it, why},
 * `view` null before the first. Alerts stand in a list of their own: here one is told only as the headline.
 */
export function verdict(view, link, stateAge, now) {
  if (!view) {
    return link.silent > LINK_SILENT_SECONDS || link.why
      ? { level: "lost", word: "No link", text: sentence(link.why || "the monitor does not answer"), more: [] }
      : { level: "quiet", word: "Connecting", text: "Asking the monitor.", more: [] };
  }
  if (view.monitor?.ends) return farewell(view, link);
  const all = findings(view, stateAge, now);
  if (link.silent > LINK_SILENT_SECONDS) {
    const text = `Nothing below is live: the monitor was last heard at ${clock(link.at, now)} UTC.`;
    const known = all[0] ? [{ level: all[0].level, text: `Last known: ${all[0].text}` }] : [];
    return { level: "lost", word: "No link", text, more: known };
  }
  // A warning about one market or a key does not hide that the rest quotes: the maker's own word leads, unless it is bad.
  const said = all.find((one) => one.said);
  const first = all[0].level === "bad" || !said ? all[0] : said;
  return { level: first.level, word: wordOf(first, view), text: first.text, more: all.filter((one) => one !== first && !one.alert) };
}

/** The monitor has said that it ends: its last view stands, as of then, and nobody takes that for a link that broke. */
function farewell(view, link) {
  const all = findings(view, view.state_age_seconds ?? 0, link.at);
  if (view.maker === "alive") {
    const known = all[0] ? [{ level: all[0].level, text: `Last known: ${all[0].text}` }] : [];
    const text = `The monitor was stopped at ${clock(link.at, link.at)} UTC: nothing below is live, and the maker goes on.`;
    return { level: "lost", word: "No link", text, more: known };
  }
  return { level: all[0].level, word: wordOf(all[0], view), text: all[0].text, more: all.filter((one, at) => at && !one.alert) };
}

function wordOf(first, view) {
  if (first.word) return first.word;
  if (first.said) return view.state.state[0].toUpperCase() + view.state.state.slice(1);
  return { bad: "Alarm", warn: "Attention", quiet: "Waiting", good: "Well" }[first.level];
}

/** The tab's title: what matters first, since a tab shows some fifteen letters. */
export function title(shown, account) {
  return [`${SIGNS[shown.level]} ${shown.word}`, account, "maker"].filter(Boolean).join(" · ");
}

/** What is announced to those who listen: changes only when the meaning does, not with its figures. */
export function announcementKey(shown) {
  return `${shown.level} ${shown.text.replace(/[\d.,:]+/g, "#")}`;
}

export function count(number, one, many) {
  return `${number} ${number === 1 ? one : many}`;
}
