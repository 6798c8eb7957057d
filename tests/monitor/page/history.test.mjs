import assert from "node:assert/strict";
import test from "node:test";

import { History, LIVE_ROWS_MAX } from "./history.js";

const state = (sequence, sent_at, changes = {}) => ({
  run_id: "r", sequence, sent_at,
  markets: [{ market_id: "M", fair: "100", position: "1", profit: null, quotes: [{ side: "buy", price: "99" }], ...changes }],
});

function answering(body, status = 200) {
  globalThis.fetch = async (url) => ({ ok: status === 200, status, json: async () => body, url });
}

test("each word of the maker adds a row, the same word twice adds none", () => {
  const history = new History(() => {});
  history.add(state(1, 10));
  history.add(state(1, 10));
  history.add(state(2, 11, { fair: null }));
  assert.deepEqual(history.of("M", 12).fair, [[10, 100], [11, null]]);
  assert.deepEqual(history.of("M", 12).quotes, [[10, 99, null], [11, 99, null]]);
  assert.deepEqual(history.of("other", 12).fair, []);
});

test("what was read replaces what was heard before its end, and keeps what came later", async () => {
  let read = 0;
  const history = new History(() => (read += 1));
  for (let at = 0; at < 10; at += 1) history.add(state(at, 100 + at));
  answering({ markets: { M: { fair: [[95, "7"], [105, "8"]], fills: [[101, "sell", "5", "1", null], [99, "buy", "4", "1", 2]] } }, answers: [[99, 0.01], [100, 0]], states: [] });
  await history.look();
  assert.equal(read, 1);
  assert.deepEqual(history.of("M", 110).fair, [[95, 7], [105, 8], [106, 100], [107, 100], [108, 100], [109, 100]]);
  assert.equal(history.of("M", 110).position.length, 10); // nothing of it was read: all that was heard stays
  assert.deepEqual(history.of("M", 110).fills, [[99, "buy", 4], [101, "sell", 5]]);
  assert.deepEqual(history.answers, [[99, 0.01]]);
});

test("a reading is not asked for again before it is time, but at once for another range", async () => {
  const history = new History(() => {});
  answering({ markets: {} });
  await history.look();
  const urls = [];
  globalThis.fetch = async (url) => (urls.push(url), { ok: true, json: async () => ({}) });
  await history.look();
  assert.deepEqual(urls, []);
  history.choose(300);
  await history.look();
  assert.deepEqual(urls, ["history?seconds=300"]);
});

test("a reading that fails is said and keeps what was there", async () => {
  const history = new History(() => {});
  history.add(state(1, 10));
  answering({}, 503);
  await history.look();
  assert.equal(history.why, "History cannot be read: HTTP 503.");
  assert.equal(history.of("M", 12).fair.length, 1);
});

test("a tab that nobody looks at for days keeps an hour", () => {
  const history = new History(() => {});
  for (let at = 0; at < 3 * LIVE_ROWS_MAX; at += 1) history.add(state(at, at));
  const kept = history.live.get("M").fair;
  assert.ok(kept.length >= LIVE_ROWS_MAX && kept.length <= LIVE_ROWS_MAX * 1.1 + 1, String(kept.length));
  assert.equal(kept.at(-1)[0], 3 * LIVE_ROWS_MAX - 1);
});
