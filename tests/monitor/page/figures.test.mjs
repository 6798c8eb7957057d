import assert from "node:assert/strict";
import test from "node:test";

import * as f from "./figures.js";

test("a tick says how many decimals its prices have", () => {
  const known = [["0.5", 1], ["0.50", 1], ["0.25", 2], ["1", 0], ["25", 0], ["0.0000000001", 10], ["10.00", 0]];
  for (const [tick, places] of known) assert.equal(f.placesOf(tick), places, tick);
  for (const none of [null, undefined, "", "x", "1e-5"]) assert.equal(f.placesOf(none), 0);
  assert.equal(f.placesFor(["0.02", "1.5", "0.1250"]), 3);
  assert.equal(f.placesFor([]), 0);
});

test("decimal text is rounded as text, exactly, half away from zero", () => {
  const known = [
    ["60000.0", 1, "60,000.0"],
    ["59999.95", 1, "60,000.0"],
    ["59999.949999999999999999999", 1, "59,999.9"],
    ["0.5", 0, "1"],
    ["-0.5", 0, "−1"],
    ["-0.04", 1, "0.0"], // no minus before nothing
    ["123456789012345678901234567890.5", 1, "123,456,789,012,345,678,901,234,567,890.5"],
    ["0.00000000012", 10, "0.0000000001"],
    ["999", 2, "999.00"],
    ["1000", 0, "1,000"],
    ["007", 0, "7"],
  ];
  for (const [value, places, written] of known) assert.equal(f.fixed(value, places), written, value);
});

test("numbers are written as text is", () => {
  assert.equal(f.fixed(1234.5, 1), "1,234.5");
  assert.equal(f.fixed(-0.5, 0), "−1");
  assert.equal(f.fixed(1e-7, 8), "0.00000010");
  assert.equal(f.fixed(0.1 + 0.2, 2), "0.30");
});

test("a sign is shown where it is asked for, and never before zero", () => {
  assert.equal(f.fixed("1", 1, true), "+1.0");
  assert.equal(f.fixed("-1", 1, true), "−1.0");
  assert.equal(f.fixed("0.00", 1, true), "0.0");
});

test("what is not known is a dash, and what cannot be read stays as it is", () => {
  for (const none of [null, undefined, "", NaN, Infinity]) assert.equal(f.fixed(none, 2), "–");
  for (const odd of ["1e5", "abc", "1.", ".5", "+1", " 1", "1_000"]) assert.equal(f.fixed(odd, 2), odd);
  assert.equal(f.price(null, "0.5"), "–");
  assert.equal(f.money(null, true), "–");
  assert.equal(f.bps(null), "–");
  assert.equal(f.percent(null), "–");
  assert.equal(f.span(null), "–");
  assert.equal(f.clock(null), "–");
  assert.equal(f.answerTime(null), "–");
});

test("prices keep their market's tick, huge and tiny", () => {
  assert.equal(f.price("123456789.50", "0.5"), "123,456,789.5");
  assert.equal(f.price("0.0000123456", "0.0000000001"), "0.0000123456");
  assert.equal(f.price("60012.34", "5"), "60,012");
});

test("money has cents, and more where it is less than one", () => {
  const known = [["1234.5678", "1,234.57"], ["0", "0.00"], ["0.01", "0.01"], ["0.0099", "0.0099"], ["0.001234", "0.0012"],
    ["-0.000056", "−0.000056"], ["0.00996", "0.01"], ["-12", "−12.00"]];
  for (const [value, written] of known) assert.equal(f.money(value), written, value);
  assert.equal(f.money("3.2", true), "+3.20");
});

test("spans have two units at most", () => {
  const known = [[0, "0.0 s"], [0.44, "0.4 s"], [9.94, "9.9 s"], [9.96, "10 s"], [59.4, "59 s"], [59.6, "1 min 00 s"], [125, "2 min 05 s"],
    [3599.7, "1 h 00 min"], [7265, "2 h 01 min"], [86400, "1 d 0 h"], [3.6 * 86400, "3 d 14 h"], [-3, "0.0 s"]];
  for (const [seconds, written] of known) assert.equal(f.span(seconds), written, String(seconds));
});

test("answers are told in the unit that fits", () => {
  const known = [[0.00085, "0.85 ms"], [0.0042, "4.2 ms"], [0.0121, "12 ms"], [1.24, "1.2 s"], [31, "31 s"]];
  for (const [seconds, written] of known) assert.equal(f.answerTime(seconds), written);
});

test("clocks are UTC, with the day only where it is another", () => {
  const at = Date.UTC(2026, 10, 28, 14, 3, 22) / 1000;
  assert.equal(f.clock(at), "14:03:22");
  assert.equal(f.clock(at, at + 5 * 3600), "14:03:22");
  assert.equal(f.clock(at, at + 12 * 3600), "11-28 14:03:22");
});

test("an axis has short numbers that still tell its marks apart", () => {
  const known = [[950, 50, "950"], [60005, 5, "60,005"], [60100, 100, "60.1k"], [0.25, 0.05, "0.25"], [0, 0.5, "0.0"], [-0.2, 0.1, "−0.2"],
    [1_200_000, 200_000, "1.2M"], [12e6, 1e6, "12M"], [0.0000123, 0.0000001, "0.0000123"],
    [0.25, 0.25, "0.25"], [-0.25, 0.25, "−0.25"], [7.5, 2.5, "7.5"], [0.3, 0.1, "0.3"], [0.07, 0.01, "0.07"]];
  for (const [value, step, written] of known) assert.equal(f.axisNumber(value, step), written);
  for (const step of [0.5, 5, 50, 500, 5000, 5e5]) {
    const marks = Array.from({ length: 8 }, (_, at) => f.axisNumber(60000 * step + at * step, step));
    assert.equal(new Set(marks).size, marks.length, marks.join(" "));
  }
});

test("distances from fair value are in bps, unknown where fair value is", () => {
  assert.ok(Math.abs(f.bpsFrom("60006", "60000") - 1) < 1e-9);
  assert.ok(Math.abs(f.bpsFrom("59994", "60000") + 1) < 1e-9);
  for (const none of [null, undefined, "0", "x"]) assert.equal(f.bpsFrom("1", none), null);
  assert.equal(f.bpsFrom(null, "1"), null);
});

test("a sentence begins and ends as one", () => {
  assert.equal(f.sentence("both sides rest"), "Both sides rest.");
  assert.equal(f.sentence(" Really? "), "Really?");
  assert.equal(f.sentence(""), "");
  assert.equal(f.sentence(null), "");
});

test("the moment that the kill file notes is written as all others are", () => {
  const today = new Date().toISOString().slice(0, 10);
  const said = (day) => f.sentence(`latched: the button was pressed, from 127.0.0.1 (monitor, ${day}T14:03:20+00:00)`);
  assert.equal(said(today), "Latched: the button was pressed, from 127.0.0.1, at 14:03:20 UTC.");
  assert.equal(said("2001-02-03"), "Latched: the button was pressed, from 127.0.0.1, at 02-03 14:03:20 UTC.");
  for (const other of ["Put there by hand.", "A (b, c).", "At (x, 2026-11-28)."]) assert.equal(f.sentence(other), other);
});
