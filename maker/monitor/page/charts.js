// The charts, drawn by uPlot (see uPlot.LICENSE.txt): price with our quotes and fills, inventory, profit, answers.
//
// They share their stretch of time and the cursor. What is drawn is said in words too: in the legend for the moment under
// the cursor (arrow keys move it), and in the label of each chart as a whole.

import { attribute, make, text } from "./dom.js";
import { NONE, answerTime, axisNumber, clock, fixed, money, placesOf } from "./figures.js";
import { columns, extent, gapOf, thinned } from "./series.js";

const { uPlot } = globalThis;
const HEIGHTS = { price: [320, 230], small: [190, 160] }; // pixels, where there is room and on a phone
const NARROW = 560; // pixels
const EDGE = 8; // pixels beside a chart
const HALF_LABEL = 26; // pixels: 14:03:22
const GAP_SECONDS = 15; // a line of samples breaks after so long without one
const KEYS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 };

// What a canvas must be told of the style sheet.
const COLOURS = ["--ink", "--soft", "--grid", "--buy", "--sell", "--accent", "--accent-soft", "--s1", "--s2", "--s3", "--s4"];

// name, colour (a variable of the style sheet), and how it is drawn; each differs by dash or shape besides
const KINDS = [
  {
    key: "price", title: "Price, our innermost quotes and fills", format: (value, market) => fixed(value, placesOf(market.tick)),
    series: [
      { name: "fair", colour: "--ink", width: 1.6 },
      { name: "our bid", colour: "--buy", width: 1.4, step: true },
      { name: "our ask", colour: "--sell", width: 1.4, step: true, dash: [5, 3] },
      { name: "bought", colour: "--buy", mark: 1 },
      { name: "sold", colour: "--sell", mark: -1 },
    ],
  },
  {
    key: "position", title: "Inventory", zero: true, format: (value) => fixed(value, value && Math.abs(value) < 0.1 ? 4 : 2, true),
    series: [{ name: "position", colour: "--accent", width: 1.6, step: true, fill: true }],
  },
  {
    key: "profit", title: "Profit of this market", zero: true, format: (value) => money(value, true),
    series: [
      { name: "total", colour: "--ink", width: 2 },
      { name: "spread", colour: "--s1", width: 1.2, dash: [7, 2] },
      { name: "inventory", colour: "--s2", width: 1.2, dash: [2, 2] },
      { name: "fees", colour: "--s3", width: 1.2, dash: [8, 2, 2, 2] },
      { name: "funding", colour: "--s4", width: 1.2, dash: [1, 3] },
    ],
  },
  {
    key: "answers", title: "Answers of the exchange", log: true, format: answerTime,
    series: [{ name: "answer", colour: "--s1", dots: true }],
  },
];

export class Charts {
  /** `onZoom(from, until)` asks for a stretch of time (unix seconds); `onZoom(null)` for all of it again. */
  constructor(host, onZoom) {
    this.onZoom = onZoom;
    this.palette = {};
    this.market = null;
    this.stretch = [0, 1];
    this.all = KINDS.map((kind) => this.create(host, kind));
    this.readPalette();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.readPalette();
      for (const one of this.all) one.plot.redraw(false);
    });
    new ResizeObserver(() => this.resize()).observe(host);
  }

  readPalette() {
    const style = getComputedStyle(document.documentElement);
    for (const name of COLOURS) this.palette[name] = style.getPropertyValue(name).trim();
  }

  resize() {
    for (const one of this.all) {
      const width = Math.floor(one.box.clientWidth);
      const height = heightOf(one.kind, document.documentElement.clientWidth);
      if (width > 0 && (width !== one.plot.width || height !== one.plot.height)) one.plot.setSize({ width, height });
    }
  }

  create(host, kind) {
    const box = make("div.plot", { tabindex: "0", role: "group", "aria-roledescription": "chart" });
    const legend = make("ul.legend", { "aria-hidden": "true" });
    const said = make("p.unseen", { role: "status" });
    const values = kind.series.map((series) => {
      const value = make("span.value");
      const swatch = series.mark ? (series.mark > 0 ? "up" : "down") : series.dots ? "dot" : "line";
      const drawn = `i.swatch.${swatch}.of${series.colour.slice(1)}${series.dash ? ".dashed" : ""}`;
      legend.append(make("li", {}, make(drawn), series.name, " ", value));
      return value;
    });
    host.append(make(`figure.chart.${kind.key}`, {}, make("figcaption", {}, kind.title), box, legend, said));
    const one = { kind, box, values, said, rows: [], labelled: -Infinity };
    one.plot = new uPlot(this.options(one, box), [[], ...kind.series.map(() => [])], box);
    box.addEventListener("keydown", (event) => this.key(one, event));
    box.addEventListener("blur", () => one.plot.setCursor({ left: -10, top: -10 }));
    return one;
  }

  options(one, box) {
    const { kind } = one;
    const colour = (name) => () => this.palette[name];
    const grid = { stroke: colour("--grid"), width: 1 };
    const axis = { stroke: colour("--soft"), grid, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const label = (mark, marks) => (kind.log ? answerTime(mark) : axisNumber(mark, marks[1] - marks[0] || 1));
    return {
      width: Math.max(200, Math.floor(box.clientWidth) || 300),
      height: heightOf(kind, document.documentElement.clientWidth),
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      legend: { show: false },
      padding: [8, EDGE, 0, 0],
      cursor: {
        y: false,
        points: { size: 6 },
        drag: { x: true, y: false, setScale: false },
        sync: { key: "maker", filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
        bind: { dblclick: () => () => this.onZoom(null) },
      },
      scales: {
        x: { time: true, range: () => this.stretch },
        y: kind.log ? { distr: 3 } : { range: (_, low, high) => padded(low, high, kind.zero) },
      },
      axes: [
        {
          ...axis, space: 60, size: 26,
          values: (plot, times, _, __, step) => times.map((at) => (fits(plot, at) ? timeLabel(at, step) : "")),
        },
        {
          ...axis, space: 32, gap: 4,
          size: (_, labels) => Math.max(44, 10 + 6.6 * Math.max(0, ...(labels ?? []).map((label) => (label ?? "").length))),
          values: (_, marks) => marks.map((mark) => (mark === null ? "" : label(mark, marks))),
        },
      ],
      series: [{}, ...kind.series.map((series) => this.series(series))],
      hooks: {
        draw: [(plot) => this.drawMarks(plot, kind)],
        setCursor: [() => this.updateLegend(one)],
        setSelect: [(plot) => this.select(plot)],
      },
    };
  }

  series({ colour, width = 1, step, dash, fill, mark, dots }) {
    const base = { stroke: () => this.palette[colour], width, dash, points: { show: false } };
    if (fill) base.fill = () => this.palette["--accent-soft"];
    if (mark) return { ...base, paths: () => null };
    if (dots) return { ...base, paths: () => null, points: { show: true, size: 4, width: 0, fill: () => this.palette[colour] } };
    return step ? { ...base, paths: uPlot.paths.stepped({ align: 1 }) } : base;
  }

  drawMarks(plot, kind) {
    const { ctx, bbox } = plot;
    const size = 5 * uPlot.pxRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    kind.series.forEach(({ mark, colour }, at) => {
      if (!mark) return;
      const [times, values] = [plot.data[0], plot.data[at + 1]];
      ctx.fillStyle = this.palette[colour];
      for (let row = 0; row < times.length; row += 1) {
        if (values[row] === null || values[row] === undefined) continue;
        const x = plot.valToPos(times[row], "x", true), y = plot.valToPos(values[row], "y", true);
        ctx.beginPath();
        ctx.moveTo(x, y - mark * size);
        ctx.lineTo(x - size * 0.9, y + mark * size * 0.7);
        ctx.lineTo(x + size * 0.9, y + mark * size * 0.7);
        ctx.fill();
      }
    });
    ctx.restore();
  }

  select(plot) {
    const { left, width } = plot.select;
    if (width < 6) return;
    this.onZoom(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }

  key(one, event) {
    const { plot } = one;
    const times = plot.data[0];
    const step = KEYS[event.key];
    if (event.key === "Escape") this.onZoom(null);
    else if (step && times.length) {
      const at = Math.min(times.length - 1, Math.max(0, (plot.cursor.idx ?? times.length - 1) + step));
      plot.setCursor({ left: plot.valToPos(times[at], "x"), top: 10 });
      text(one.said, `${clock(times[at])} UTC: ${this.told(one)}`);
    } else return;
    event.preventDefault();
  }

  told(one) {
    const words = one.kind.series.map((series, i) => `${series.name} ${one.values[i].textContent}`);
    return words.filter((word) => !word.endsWith(NONE)).join(", ") || "nothing";
  }

  /** Draw a market's rows (see History.of) and the answers, over a stretch of time [from, until] in unix seconds. */
  draw(market, rows, answers, stretch) {
    this.market = market;
    this.stretch = stretch;
    const points = Math.max(150, this.all[0].plot.width);
    const thin = (some) => thinned(some, points);
    const samples = (some, width) => columns(thin(some), width, gapOf(some, GAP_SECONDS));
    const fills = (side) => columns(apart(rows.fills.filter((fill) => fill[1] === side).map((fill) => [fill[0], fill[2]])), 1);
    const price = uPlot.join([samples(rows.fair, 1), columns(thin(rows.quotes), 2), fills("buy"), fills("sell")]);
    const data = { price, position: columns(thin(rows.position), 1), profit: samples(rows.profit, 5), answers: columns(thin(answers), 1) };
    const whole = { price: rows.fair, position: rows.position, profit: rows.profit, answers };
    for (const one of this.all) {
      one.rows = whole[one.kind.key];
      one.plot.setData(data[one.kind.key].length ? data[one.kind.key] : [[], ...one.kind.series.map(() => [])]);
      this.updateLegend(one);
      this.updateLabel(one);
    }
  }

  /** Values at the cursor, or the last ones. Fills are counted where no cursor is. */
  updateLegend(one) {
    const { plot, kind } = one;
    if (!plot || !this.market) return;
    const at = plot.cursor.idx;
    kind.series.forEach((series, i) => {
      const values = plot.data[i + 1];
      let words;
      if (at === null || at === undefined) {
        const known = values.filter((value) => value !== null && value !== undefined);
        words = series.mark ? String(known.length) : kind.format(values.findLast((value) => value !== undefined) ?? null, this.market);
      } else {
        let row = at;
        // Series are sampled at moments of their own: a step holds, a fill is only where it is.
        while (!series.mark && row > 0 && values[row] === undefined) row -= 1;
        words = kind.format(values[row] ?? null, this.market);
      }
      text(one.values[i], words);
    });
  }

  updateLabel(one) {
    const now = performance.now();
    if (now - one.labelled < 15000) return; // a label that changes each second is read out each second
    one.labelled = now;
    const found = extent(one.rows);
    const told = (value) => one.kind.format(value, this.market);
    const words = found ? `between ${told(found.low)} and ${told(found.high)}, last ${told(found.last)}` : "nothing yet";
    attribute(one.box, "aria-label", `${one.kind.title}: ${words}. Arrow keys tell single moments.`);
  }
}

function heightOf(kind, page) {
  return HEIGHTS[kind.key === "price" ? "price" : "small"][page < NARROW ? 1 : 0];
}

/** Two at one moment are drawn side by side: a chart has one row a moment. */
function apart(rows) {
  let before = -Infinity;
  return rows.map(([at, value]) => [(before = Math.max(at, before + 1e-3)), value]);
}

function padded(low, high, zero) {
  if (low === null || high === null) return [0, 1];
  const from = zero ? Math.min(low, 0) : low, until = zero ? Math.max(high, 0) : high;
  const space = (until - from) * 0.08 || Math.abs(until) * 1e-4 || 1;
  return [from - space, until + space];
}

/** Whether a time's label has room before the edge: half a label is cut off, and reads as another time. */
function fits(plot, at) {
  const width = (plot.bbox?.width ?? 0) / uPlot.pxRatio;
  return !width || plot.valToPos(at, "x") <= width + EDGE - HALF_LABEL;
}

function timeLabel(at, step) {
  const words = new Date(at * 1000).toISOString();
  if (step >= 86400) return words.slice(5, 10);
  return words.slice(11, step >= 60 ? 16 : 19);
}
