// How figures are written for people. Prices, sizes and money arrive as decimal text and are rounded as text, exactly;
// what is not known is a dash, never 0. Times are UTC, as in the journal and the report.

export const NONE = "–";

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/;
const PLACES_MAX = 12; // finer than any tick; more would break a narrow column
const MINUTE = 60, HOUR = 3600, DAY = 86400; // seconds

/** How many decimals a step needs: "0.50" needs 1, "25" none. */
export function placesOf(step) {
  const found = DECIMAL.exec(step ?? "");
  return found ? Math.min(PLACES_MAX, (found[3] ?? "").replace(/0+$/, "").length) : 0;
}

/** The most decimals that any of these decimal texts needs. */
export function placesFor(texts) {
  return texts.reduce((most, text) => Math.max(most, placesOf(text)), 0);
}

/** A decimal text or a number with so many decimals, half away from zero, thousands apart. What is neither stays. */
export function fixed(value, places, signed = false) {
  if (value === null || value === undefined || value === "") return NONE;
  if (typeof value === "number" && !Number.isFinite(value)) return NONE;
  const found = DECIMAL.exec(typeof value === "number" ? value.toFixed(Math.min(100, places + 3)) : value);
  if (!found) return String(value);
  const fraction = (found[3] ?? "") + "0".repeat(places + 1);
  const digits = BigInt(found[2] + fraction.slice(0, places)) + (fraction[places] >= "5" ? 1n : 0n);
  const text = digits.toString().padStart(places + 1, "0");
  const whole = text.slice(0, text.length - places).replace(/\B(?=(\d{3})+$)/g, ",");
  const sign = digits === 0n ? "" : found[1] ? "−" : signed ? "+" : "";
  return sign + whole + (places ? "." + text.slice(-places) : "");
}

/** A price, to its market's tick. */
export function price(value, tick) {
  return fixed(value, placesOf(tick));
}

/** Money in quote currency: two decimals, or two digits that tell something where it is less than a cent. */
export function money(value, signed = false) {
  return fixed(value, moneyPlaces(value), signed);
}

/** A limit as it was configured: 40,000 and 0.4, without decimals that it does not need. */
export function limit(value) {
  return fixed(value, placesOf(value));
}

export function moneyPlaces(value) {
  const size = Math.abs(Number(value));
  if (!(size > 0) || size >= 0.00995) return 2;
  return Math.min(10, 1 - Math.floor(Math.log10(size)));
}

/** Hundredths of a per cent, signed. */
export function bps(value, places = 1) {
  return fixed(value, places, true);
}

/** A share of one, as per cent. */
export function percent(share) {
  return share === null || share === undefined ? NONE : `${fixed(share * 100, share > 0 && share < 0.1 ? 1 : 0)} %`;
}

/** How long: two units at most, so that it is read at a glance. Takes seconds. */
export function span(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NONE;
  const whole = Math.max(0, seconds);
  if (whole < 9.95) return `${whole.toFixed(1)} s`;
  const s = Math.round(whole);
  const two = (n) => String(n).padStart(2, "0");
  if (s < MINUTE) return `${s} s`;
  if (s < HOUR) return `${Math.floor(s / MINUTE)} min ${two(s % MINUTE)} s`;
  if (s < DAY) return `${Math.floor(s / HOUR)} h ${two(Math.floor((s % HOUR) / MINUTE))} min`;
  return `${Math.floor(s / DAY)} d ${Math.floor((s % DAY) / HOUR)} h`;
}

/** A time to answer, of seconds: 0.85 ms, 12 ms, 1.2 s. */
export function answerTime(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds >= 1) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const ms = seconds * 1000;
  return `${ms.toFixed(ms < 1 ? 2 : ms < 10 ? 1 : 0)} ms`;
}

/** The time of day of unix seconds, UTC; with the day where that is not the day of `now`. */
export function clock(unix, now = unix) {
  if (unix === null || unix === undefined) return NONE;
  const text = new Date(unix * 1000).toISOString();
  const day = new Date(now * 1000).toISOString().slice(0, 10);
  return (text.slice(0, 10) === day ? "" : `${text.slice(5, 10)} `) + text.slice(11, 19);
}

/** Numbers as an axis has them, for marks a step apart: 950, 1.5k, 60,005, 12M. */
export function axisNumber(value, step) {
  let places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  if (Math.abs((step * 10 ** places) % 1) > 1e-6 && Math.abs((step * 10 ** places) % 1) < 1 - 1e-6) places += 1; // 2.5, 0.25
  for (const [unit, size] of [["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (Math.abs(value) < size || step < size / 10) continue;
    const text = fixed(value / size, Math.min(4, places + Math.round(Math.log10(size))));
    return (text.includes(".") ? text.replace(/\.?0+$/, "") : text) + unit;
  }
  return fixed(value, Math.min(PLACES_MAX, places));
}

/** The distance of a price from fair value, in bps; null where either is unknown. */
export function bpsFrom(value, fair) {
  const base = Number(fair);
  if (value === null || fair === null || fair === undefined || !(base > 0)) return null;
  return ((Number(value) - base) / base) * 1e4;
}

/** A text with the moments that the kill file notes, "(reason, 2026-11-28T14:03:20+00:00)", written as all others are. */
export function timed(text) {
  const noted = / \([^()]*, (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\+00:00\)/g;
  return text.replace(noted, (_, at) => `, at ${clock(Date.parse(`${at}Z`) / 1000, Date.now() / 1000)} UTC`);
}

/** A text as it begins a sentence, with its end. */
export function sentence(text) {
  const trimmed = timed((text ?? "").trim());
  if (!trimmed) return "";
  return trimmed[0].toUpperCase() + trimmed.slice(1) + (/[.!?:…]$/.test(trimmed) ? "" : ".");
}
