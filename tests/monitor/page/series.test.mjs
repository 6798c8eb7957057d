import assert from "node:assert/strict";
import test from "node:test";

import * as s from "./series.js";

const line = (length, value = (at) => at) => Array.from({ length }, (_, at) => [at, value(at)]);

test("what came later joins, what is older leaves but for the one that held on", () => {
  const found = s.joined([[1, 10], [2, 20], [3, 30]], [[2, 99], [3, 99], [4, 40]], 2.5);
  assert.deepEqual(found, [[2, 20], [3, 30], [4, 40]]);
  assert.deepEqual(s.joined([], [], 0), []);
  assert.deepEqual(s.joined([], [[5, 1]], 0), [[5, 1]]);
  assert.deepEqual(s.joined([[1, 1]], [], 5), [[1, 1]]);
});

test("few rows stay as they are", () => {
  const rows = line(50);
  assert.equal(s.thinned(rows, 300), rows);
});

test("many rows become about as many as asked for, in order, and lose neither end nor spike", () => {
  const rows = line(20000, (at) => (at === 7777 ? 1e6 : at === 8888 ? -1e6 : Math.sin(at / 100)));
  const found = s.thinned(rows, 600);
  assert.ok(found.length <= 700, String(found.length));
  assert.deepEqual(found[0], rows[0]);
  assert.deepEqual(found.at(-1), rows.at(-1));
  assert.ok(found.some((row) => row[1] === 1e6) && found.some((row) => row[1] === -1e6));
  for (let at = 1; at < found.length; at += 1) assert.ok(found[at][0] > found[at - 1][0]);
});

test("each column keeps its own spikes", () => {
  const rows = Array.from({ length: 5000 }, (_, at) => [at, at === 1234 ? 9 : 0, at === 4321 ? -9 : 0]);
  const found = s.thinned(rows, 300);
  assert.ok(found.some((row) => row[1] === 9) && found.some((row) => row[2] === -9));
});

test("a gap keeps both its edges, and a long one costs no more than a short one", () => {
  const rows = line(9000, (at) => (at >= 3000 && at < 6000 ? null : 1));
  const found = s.thinned(rows, 300);
  const nulls = found.filter((row) => row[1] === null).map((row) => row[0]);
  assert.ok(nulls.includes(3000) && nulls.includes(5999), nulls.join(" "));
  assert.ok(found.length < 400, String(found.length));
});

test("rows at one moment are thinned too", () => {
  assert.ok(s.thinned(Array.from({ length: 5000 }, (_, at) => [7, at]), 300).length < 20);
});

test("columns break where samples are too far apart", () => {
  assert.deepEqual(s.columns([[1, 5], [2, 6], [9, 7]], 1, 3), [[1, 2, 5, 9], [5, 6, null, 7]]);
  assert.deepEqual(s.columns([[1, "5.5", null]], 2), [[1], [5.5], [null]]);
  assert.deepEqual(s.columns([], 2), [[], [], []]);
});

test("what came over the wire is put into numbers; times that run back are left out", () => {
  assert.deepEqual(s.numeric([["1", "2.5"], [2, null], ["x", 3], [1.5, 9], [2, ""], [3, "1e400"]]), [[1, 2.5], [2, null], [2, null], [3, null]]);
  assert.deepEqual(s.numeric(undefined), []);
});

test("a gap is several times the usual distance, and never less than asked", () => {
  assert.equal(s.gapOf(line(10), 15), 15);
  assert.equal(s.gapOf([[0, 1], [60, 1], [120, 1]], 15), 300);
  assert.equal(s.gapOf([], 15), 15);
});

test("a state adds a row of each kind, of the innermost quotes", () => {
  const market = {
    fair: "100.5", position: "-2", profit: { total: "1", spread: "2", inventory: "-1", fees: "0", funding: "0" },
    quotes: [{ side: "buy", price: "100" }, { side: "buy", price: "99" }, { side: "sell", price: "101" }],
  };
  assert.deepEqual(s.rowsOf({ sent_at: 7 }, market), {
    fair: [7, 100.5], quotes: [7, 100, 101], position: [7, -2], profit: [7, 1, 2, -1, 0, 0],
  });
  const none = s.rowsOf({ sent_at: 7 }, { fair: null, position: "0", profit: null, quotes: [] });
  assert.deepEqual([none.fair, none.quotes, none.profit], [[7, null], [7, null, null], null]);
});

test("the extent of a column ignores what is not known", () => {
  assert.deepEqual(s.extent([[1, null], [2, 5], [3, -1], [4, null]]), { low: -1, high: 5, last: -1 });
  assert.equal(s.extent([[1, null]]), null);
});

test("a markout is told by itself or beside its worth, and is unknown rather than 0", () => {
  assert.equal(s.markout({ markouts_bps: { 5: -1.5 } }, "5"), -1.5);
  assert.equal(s.markout({ markouts: { 5: { quote: "0.1", bps: "2.5" } } }, "5"), 2.5);
  for (const none of [{}, { markouts_bps: { 5: null } }, { markouts: { 5: null } }]) assert.equal(s.markout(none, "5"), null);
});
