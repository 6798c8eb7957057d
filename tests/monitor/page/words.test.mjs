import assert from "node:assert/strict";
import test from "node:test";

import * as w from "./words.js";

const NOW = Date.UTC(2026, 10, 28, 14, 3, 22) / 1000;
const LINKED = { silent: 0.4, at: NOW - 0.4, why: "" };

function view(changes = {}, state = {}) {
  return {
    state: {
      state: "quoting", sentence: "quoting 1 of 1 markets", reason: "", pulled_at: null, verified_empty_at: null,
      markets: [{ market_id: "BTC-PERP", state: "quoting" }], account: { margin_step: "ample" }, key: { expires_at: null }, ...state,
    },
    state_age_seconds: 0.2, maker: "alive", guard: "alive", latched: "", audit: { agrees: true, sentence: "all agrees", at: NOW - 2 },
    alerts: [], monitor: { key: "read" }, ...changes,
  };
}

const told = (one, link = LINKED, age = 0.2) => w.verdict(one, link, age, NOW);

test("a maker that quotes is good news, in its own sentence", () => {
  assert.deepEqual(told(view()), { level: "good", word: "Quoting", text: "Quoting 1 of 1 markets.", more: [] });
});

test("each state has its level, and a word nobody knows is nothing to rely on", () => {
  const levels = { quoting: "good", "not quoting": "warn", pulling: "warn", starting: "quiet", ending: "quiet", dancing: "quiet", constructor: "quiet" };
  for (const [state, level] of Object.entries(levels)) assert.equal(told(view({}, { state, sentence: "why" })).level, level, state);
});

test("every level has a sign of its own and a place in the order", () => {
  assert.equal(new Set(Object.values(w.SIGNS)).size, w.LEVELS.length);
  for (const level of w.LEVELS) assert.ok(w.SIGNS[level]);
});

test("what was seen from outside outranks what the maker says of itself", () => {
  const bad = [
    [{ audit: { agrees: false, sentence: "8 orders rest and no maker is alive", at: NOW } }, /^8 orders rest/],
    [{ maker: "gone" }, /maker is gone/],
    [{ guard: "gone" }, /guard is gone/],
    [{ latched: "the kill button" }, /^Latched until somebody has looked: the kill button/],
    [{ alerts: [{ severity: "critical", name: "x", sentence: "look at this" }] }, /^Look at this/],
  ];
  for (const [changes, words] of bad) {
    const found = told(view(changes));
    assert.equal(found.level, "bad", JSON.stringify(changes));
    assert.match(found.text, words);
    assert.equal(found.word, "Alarm");
  }
});

test("quotes that may rest unattended are the worst, whatever else is said", () => {
  const all = view({ maker: "gone", guard: "gone", latched: "losses", audit: { agrees: false, sentence: "orders rest", at: NOW } });
  assert.equal(told(all).text, "Orders rest.");
  const unseen = told(view({ maker: "gone", guard: "gone", audit: null }));
  assert.equal(unseen.level, "bad");
  assert.match(unseen.text, /quotes may rest/);
});

test("an old audit is no witness that nothing rests", () => {
  const old = { agrees: true, sentence: "all agrees", at: NOW - 61 };
  assert.match(told(view({ maker: "gone", guard: "gone", audit: old })).text, /quotes may rest/);
  assert.match(told(view({ audit: old })).more[0].text, /last compared/);
});

test("what was seen while the maker still spoke is no witness either", () => {
  const both = (changes, sent_at) => told(view({ maker: "gone", guard: "gone", audit: null, ...changes }, { sent_at }));
  const audit = { agrees: true, sentence: "nothing rests", at: NOW - 20 };
  assert.equal(both({ audit }, NOW - 22).level, "bad");
  assert.equal(both({ audit }, NOW - 40).level, "warn");
  const exchange = { open_orders: 0, read_at: NOW - 20, why_not: "" };
  assert.equal(both({ exchange }, NOW - 22).level, "bad");
  assert.match(both({ exchange }, NOW - 40).text, /nothing rested on the exchange at 14:03:02 UTC/);
});

test("orders that rest without a maker are told by number", () => {
  const exchange = { open_orders: 8, read_at: NOW - 1, why_not: "" };
  assert.equal(told(view({ maker: "gone", exchange })).text, "8 orders rest on the exchange, and the maker is gone.");
  assert.equal(told(view({ exchange })).level, "good");
});

test("a run that ended well, and was read back empty, is no alarm", () => {
  const changes = { maker: "gone", guard: "gone", audit: null };
  const ended = told(view(changes, { state: "ending", pulled_at: NOW - 9, verified_empty_at: NOW - 8 }));
  assert.deepEqual([ended.level, ended.word], ["warn", "Ended"]);
  assert.equal(ended.text, "The run has ended, and the exchange was read back empty at 14:03:14 UTC.");
  const early = told(view(changes, { state: "ending", pulled_at: NOW - 9, verified_empty_at: NOW - 3000 }));
  assert.equal(early.level, "bad"); // read back before it was pulled proves nothing
  const quoted = told(view(changes, { state: "quoting", pulled_at: NOW - 9, verified_empty_at: NOW - 8 }));
  assert.equal(quoted.level, "bad"); // and it has quoted since
  const never = told(view(changes, { state: "ending", pulled_at: null, verified_empty_at: NOW - 8 }));
  assert.equal(never.level, "bad");
});

test("a latched end says in one breath that nothing rests and why nothing starts", () => {
  const state = { state: "ending", pulled_at: NOW - 9, verified_empty_at: NOW - 8 };
  const ended = (changes) => told(view({ maker: "gone", audit: null, latched: "the kill button was pressed", ...changes }, state));
  const text = "The maker has ended, and the exchange was read back empty at 14:03:14 UTC. Latched until somebody has looked: the kill button was pressed.";
  assert.deepEqual(ended({}), { level: "bad", word: "Latched", text, more: [] });
  assert.equal(ended({ monitor: { key: "read", ends: true } }).text, text.replace("maker", "run"));
  const unread = told(view({ maker: "gone", audit: null, latched: "x" }, { ...state, verified_empty_at: null }));
  assert.match(unread.text, /guard cancels everything/);
  assert.equal(unread.more[0].text, "Latched until somebody has looked: x.");
  const killed = told(view({ maker: "gone", exchange: { open_orders: 0, read_at: NOW - 1, why_not: "" } }, { sent_at: NOW - 20 }));
  assert.match(killed.text, /guard cancels everything/); // it said nothing of an end: its guard is still at it
});

test("what rested before it was read back empty is no alarm, what rested after it is", () => {
  const state = { state: "ending", pulled_at: NOW - 3, verified_empty_at: NOW - 2 };
  const read = (seconds) => told(view({ maker: "gone", exchange: { open_orders: 16, read_at: NOW - seconds, why_not: "" } }, state));
  assert.match(read(5).text, /read back empty at 14:03:20 UTC/);
  assert.equal(read(5).level, "warn");
  assert.match(read(1).text, /^16 orders rest/);
  assert.equal(read(1).level, "bad");
});

test("a monitor that said goodbye is no broken link, however long ago", () => {
  const later = { silent: 900, at: NOW - 900, why: "the monitor cannot be reached" };
  const state = { state: "ending", pulled_at: NOW - 902, verified_empty_at: NOW - 901 };
  const found = told(view({ maker: "gone", audit: null, monitor: { key: "read", ends: true } }, state), later, 900);
  assert.equal(found.level, "warn");
  assert.equal(found.text, "The run has ended, and the exchange was read back empty at 13:48:21 UTC.");
  const unknown = told(view({ maker: "gone", audit: null, monitor: { key: "read", ends: true } }), later, 900);
  assert.equal(unknown.level, "bad");
  assert.match(unknown.text, /nothing here says that the exchange was read back empty/); // and nobody will any more
  const alive = told(view({ monitor: { key: "read", ends: true } }), later, 900);
  assert.equal(alive.level, "lost");
  assert.match(alive.text, /^The monitor was stopped at 13:48:22 UTC: nothing below is live, and the maker goes on/);
  assert.deepEqual(alive.more, [{ level: "good", text: "Last known: Quoting 1 of 1 markets." }]);
});

test("a maker that says nothing any more is an alarm, since when is said", () => {
  assert.equal(told(view(), LINKED, w.STATE_SILENT_SECONDS - 0.1).level, "good");
  const found = told(view(), LINKED, 62);
  assert.equal(found.level, "bad");
  assert.match(found.text, /said nothing since 14:02:20 UTC/);
  assert.equal(w.makerSilent(view(), 62), true);
  assert.equal(w.makerSilent({ state: null }, 62), false);
});

test("no link outranks everything, and never shows the last state as if it were now", () => {
  const found = told(view(), { silent: 12, at: NOW - 12, why: "" });
  assert.equal(found.level, "lost");
  assert.match(found.text, /^Nothing below is live: the monitor was last heard at 14:03:10 UTC/);
  assert.deepEqual(found.more, [{ level: "good", text: "Last known: Quoting 1 of 1 markets." }]);
});

test("before the first view it waits, and then says that nobody answers", () => {
  assert.equal(told(null, { silent: 0.3, at: NOW, why: "" }).level, "quiet");
  assert.equal(told(null, { silent: 5, at: NOW, why: "" }).level, "lost");
  assert.equal(told(null, { silent: 0.3, at: NOW, why: "the monitor cannot be reached" }).text, "The monitor cannot be reached.");
});

test("no word of a maker yet is quiet", () => {
  const found = told(view({ state: null, maker: "unknown", guard: "unknown", audit: null }));
  assert.equal(found.level, "quiet");
  assert.match(found.text, /Nothing heard/);
});

test("smaller troubles stand below and do not hide that it quotes", () => {
  const markets = ["A", "B", "C", "D", "E"].map((market_id) => ({ market_id, state: market_id === "A" ? "quoting" : "not quoting" }));
  const found = told(view({ alerts: [{ severity: "warning", name: "w", sentence: "soon", delivered: false }] }, { markets, key: { expires_at: NOW + 3600 } }));
  assert.equal(found.level, "good");
  assert.deepEqual(found.more.map((one) => one.text), [
    "Alerts do not get out: 1 was not delivered.", "Not quoted: B, C, D and 1 more.", "The key expires in 1 h 00 min.",
  ]);
});

test("margin and keys are warnings until they are alarms", () => {
  const step = (margin_step) => told(view({}, { account: { margin_step } }));
  assert.equal(step("warn").level, "good");
  assert.equal(step("warn").more[0].level, "warn");
  assert.equal(step("reduce only").level, "bad");
  assert.equal(step("something new").level, "bad");
  assert.equal(told(view({}, { key: { expires_at: NOW - 1 } })).level, "bad");
});

test("no finding is told twice, and there always is one", () => {
  const texts = w.findings(view({ audit: { agrees: false, sentence: "x", at: NOW }, alerts: [{ severity: "critical", sentence: "X." }] }), 0, NOW).map((one) => one.text);
  assert.equal(new Set(texts).size, texts.length);
  assert.equal(w.findings({ state: null, maker: "gone", guard: "unknown", latched: "", audit: null }, 0, NOW).length > 0, true);
});

test("the title begins with what matters, in letters too", () => {
  assert.equal(w.title(told(view()), "desk"), "● Quoting · desk · maker");
  assert.equal(w.title(told(null), ""), "◌ Connecting · maker");
});

test("listeners are told when the meaning changes, not when a figure does", () => {
  const key = (text, level = "bad") => w.announcementKey({ level, text });
  assert.equal(key("silent for 12.5 s"), key("silent for 1,013 s"));
  assert.notEqual(key("a"), key("b"));
  assert.notEqual(key("a", "bad"), key("a", "good"));
});
