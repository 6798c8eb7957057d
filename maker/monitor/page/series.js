// History as rows [unix seconds, values…], made fit to be drawn: as many points as there are pixels, with gaps where
// nothing is known. Nothing here touches the page.

/** What came later than a history's end joins it; what is older than `since` leaves. Both are in order of time. */
export function joined(history, live, since) {
  const end = history.length ? history[history.length - 1][0] : -Infinity;
  const rows = history.concat(live.filter((row) => row[0] > end));
  let first = rows.findIndex((row) => row[0] >= since);
  if (first < 0) first = rows.length;
  // One from before the window: a value that held on into it.
  return rows.slice(Math.max(0, first - 1));
}

/**
 * At most about `points` rows for each value column: of each stretch of time the first row, and those with a column's
 * least and greatest value, so that no spike and no gap's edge is lost. Order is kept, nothing is averaged.
 */
export function thinned(rows, points) {
  const buckets = Math.max(1, Math.floor(points / 3));
  if (rows.length <= buckets * 3) return rows;
  const begin = rows[0][0], length = rows[rows.length - 1][0] - begin || 1;
  const columns = rows[0].length - 1;
  const kept = new Set([0, rows.length - 1]);
  for (let from = 0; from < rows.length; ) {
    const bucket = Math.floor(((rows[from][0] - begin) / length) * buckets);
    let until = from;
    while (until < rows.length && Math.floor(((rows[until][0] - begin) / length) * buckets) === bucket) until += 1;
    kept.add(from);
    for (let column = 1; column <= columns; column += 1) {
      let low = -1, high = -1;
      for (let at = from; at < until; at += 1) {
        const value = rows[at][column];
        if (value === null) {
          // Where nothing was known is a thing to see: both edges of it.
          if (rows[at - 1]?.[column] !== null || rows[at + 1]?.[column] !== null) kept.add(at);
          continue;
        }
        if (low < 0 || value < rows[low][column]) low = at;
        if (high < 0 || value > rows[high][column]) high = at;
      }
      if (low >= 0) kept.add(low).add(high);
    }
    from = until;
  }
  return [...kept].sort((a, b) => a - b).map((at) => rows[at]);
}

/** Rows as columns [times, values…] with a row of nulls wherever two are further apart than `gap` seconds. */
export function columns(rows, width, gap = Infinity) {
  const found = Array.from({ length: width + 1 }, () => []);
  let before = Infinity;
  for (const row of rows) {
    if (row[0] - before > gap) {
      found[0].push(before + gap);
      for (let at = 1; at <= width; at += 1) found[at].push(null);
    }
    for (let at = 0; at <= width; at += 1) found[at].push(number(row[at]));
    before = row[0];
  }
  return found;
}

/** What is drawn is a number; decimal text loses what no pixel shows. */
export function number(value) {
  if (value === null || value === undefined || value === "") return null;
  const found = Number(value);
  return Number.isFinite(found) ? found : null;
}

/** Rows with numbers only, out-of-order and unreadable times left out: what came over a wire is not yet a line. */
export function numeric(rows) {
  const found = [];
  let before = -Infinity;
  for (const row of rows ?? []) {
    const at = number(row[0]);
    if (at === null || at < before) continue;
    before = at;
    found.push([at, ...row.slice(1).map(number)]);
  }
  return found;
}

/** The gap that breaks a line of samples: several times their usual distance, and at least `least` seconds. */
export function gapOf(rows, least) {
  const steps = [];
  for (let at = 1; at < rows.length; at += 1) steps.push(rows[at][0] - rows[at - 1][0]);
  steps.sort((a, b) => a - b);
  return Math.max(least, 5 * (steps[Math.floor(steps.length / 2)] ?? 0));
}

/** The rows a live.State adds to a market's history, at the moment it was sent. */
export function rowsOf(state, market) {
  const at = state.sent_at;
  const inner = (side) => number(market.quotes.find((quote) => quote.side === side)?.price);
  const profit = market.profit;
  return {
    fair: [at, number(market.fair)],
    quotes: [at, inner("buy"), inner("sell")],
    position: [at, number(market.position)],
    profit: profit && [at, profit.total, profit.spread, profit.inventory, profit.fees, profit.funding].map(number),
  };
}

/** Values as they spread: {low, high, last} of a column of rows, null where there are none. For people who do not see. */
export function extent(rows, column = 1) {
  let low = null, high = null, last = null;
  for (const row of rows) {
    const value = row[column];
    if (value === null || value === undefined) continue;
    if (low === null || value < low) low = value;
    if (high === null || value > high) high = value;
    last = value;
  }
  return low === null ? null : { low, high, last };
}

/** A fill's markout in bps at a horizon, told by itself or beside its worth in quote currency; null: not known. */
export function markout(fill, horizon) {
  return number(fill.markouts_bps?.[horizon] ?? fill.markouts?.[horizon]?.bps);
}
