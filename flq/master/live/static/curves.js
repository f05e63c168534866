// Charts of accuracy and loss by round or by bytes, drawn by uPlot, each with a description in words.

import { lossAxis, shareAxis } from "./axes.js";
import { bytes, loss, number, percent, say } from "./words.js";

const HEIGHT = 270;
const MARKED_POINTS = 30; // up to this many points are marked: a single one has no line
const { uPlot } = window;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

/** One chart. Each line is {curve, text, colour}: names of a curve of the feed, a text and a colour. */
class Chart {
  #element; #axisText; #lines; #format; #plot = null; #drawn = ""; #range = null;

  /** format: long(value) and short(value, axis) write a value below the chart and at a tick; fit(values) returns an axis. */
  constructor(id, axisText, format, lines) {
    this.#element = document.getElementById(id);
    this.#axisText = axisText;
    this.#format = format;
    this.#lines = lines;
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(this.#element);
  }

  /** Show curves over "round" or "bytes"; isNew: language or colours have changed. Hide it if only others have points. */
  show(curves, axis, isNew) {
    const lines = this.#lines.filter((line) => curves[line.curve].value.length);
    if (lines.length) this.#range = this.#format.fit(lines.flatMap((line) => curves[line.curve].value));
    const drawn = [axis, this.#range?.isLog, ...lines.map((line) => line.curve)].join(" ");
    if (isNew || drawn !== this.#drawn) {
      this.#plot?.destroy();
      this.#plot = null;
      this.#drawn = drawn;
    }
    this.#element.parentElement.hidden = !lines.length && Object.values(curves).some((curve) => curve.value.length);
    this.#element.toggleAttribute("data-empty", !lines.length);
    if (!lines.length) {
      this.#element.dataset.empty = say("nothingYet");
      this.#element.setAttribute("aria-label", say("nothingYet"));
      return;
    }
    const data = uPlot.join(lines.map((line) => [curves[line.curve][axis], curves[line.curve].value]));
    if (this.#plot) this.#plot.setData(data);
    else this.#plot = new uPlot(this.#options(axis, lines), data, this.#element);
    this.#tellTheLast(this.#plot);
    this.#element.setAttribute("aria-label", lines.map((line) => this.#inWords(line, curves[line.curve])).join(". "));
  }

  /** Show the newest values of all lines below the chart, unless the pointer is on it. */
  #tellTheLast(plot) {
    const isKnown = (_, index) => plot.data.slice(1).every((values) => typeof values[index] === "number");
    if (plot.cursor.idx == null) plot.setLegend({ idx: Math.max(0, plot.data[0].findLastIndex(isKnown)) });
  }

  #size() {
    return { width: this.#element.clientWidth, height: HEIGHT - 30 }; // the legend is below
  }

  #options(axis, lines) {
    const write = axis === "bytes" ? (value) => bytes(value) : (value) => number(value);
    const font = "12px system-ui, sans-serif";
    const common = { stroke: colour("--dim"), font, labelFont: font, labelSize: 18, ticks: { show: false },
      grid: { stroke: colour("--line"), width: 1 } };
    return {
      ...this.#size(),
      scales: { x: { time: false }, y: { distr: this.#range.isLog ? 3 : 1, range: () => [this.#range.low, this.#range.high] } },
      hooks: { setCursor: [(plot) => this.#tellTheLast(plot)] },
      cursor: { points: { size: 7 }, drag: { x: false, y: false } },
      axes: [
        { ...common, label: say(`${axis}Axis`), size: 34, space: axis === "bytes" ? 80 : 60,
          values: (_, splits) => splits.map((value) => (axis === "round" && value % 1 ? "" : write(value))) },
        { ...common, label: say(this.#axisText), size: 58, splits: () => this.#range.ticks, filter: (_, splits) => splits,
          values: (_, splits) => splits.map((value) => this.#format.short(value, this.#range)) },
      ],
      series: [
        { label: say(axis === "bytes" ? "bytesSoFar" : "round"), value: (_, value) => (value === null ? "–" : write(value)) },
        ...lines.map((line) => ({
          label: say(line.text), stroke: colour(line.colour), width: 2, dash: line.dash, spanGaps: true,
          points: { show: (plot) => plot.data[0].length <= MARKED_POINTS }, value: (_, value) => this.#format.long(value),
        })),
      ],
    };
  }

  #inWords(line, { round, value }) {
    const write = this.#format.long;
    return say("curve", { name: say(line.text), first: write(value[0]), last: write(value.at(-1)), round: number(round.at(-1)),
      low: write(Math.min(...value)), high: write(Math.max(...value)) });
  }
}

/** Return the label of a tick of losses, with the digits of its axis. */
function lossAtTick(value, axis) {
  const isPlain = Math.abs(axis.high) < 1e5 && (axis.isLog ? value >= 1e-4 : axis.digits < 6);
  if (!isPlain) return value === 0 ? "0" : value.toExponential(axis.isLog ? 0 : 1);
  return axis.isLog ? loss(value) : number(value, axis.digits);
}

/** All charts of the page. */
export class Curves {
  #charts = [
    new Chart("accuracy-chart", "accuracyAxis",
      { short: (value, axis) => number(100 * value, axis.digits), long: (value) => percent(value), fit: shareAxis },
      [{ curve: "accuracy", text: "accuracy", colour: "--accent" }]),
    new Chart("loss-chart", "lossAxis", { short: lossAtTick, long: (value) => loss(value), fit: lossAxis },
      [{ curve: "test_loss", text: "testLoss", colour: "--accent" },
        { curve: "training_loss", text: "trainingLoss", colour: "--second", dash: [6, 4] }]),
  ];

  show(curves, isNew) {
    const axis = document.querySelector("input[name=axis]:checked").value;
    for (const chart of this.#charts) chart.show(curves, axis, isNew);
  }
}
