// Axes that fit their values, as in the workbook and the figures (flq/report/axes.py): round bounds around the smallest
// and the largest value, and a logarithmic scale where they span decades.

const N_STEPS = 5; // approximately
const LOG_FROM = 100; // ratio of the largest to the smallest value
const MOST_POWERS = 6; // labels of a logarithmic axis

const short = (value) => Number(value.toPrecision(12)); // without binary noise: 0.30000000000000004 becomes 0.3

/** Return {low, high, ticks, digits}: multiples of a step of 1, 2 or 5 times a power of ten that enclose the values. */
function linear(low, high, leastStep) {
  const exact = Math.max(((high - low) || Math.abs(low) * 0.1 || 1) / N_STEPS, leastStep);
  const power = 10 ** Math.floor(Math.log10(exact));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= exact * (1 - 1e-9));
  let first = Math.floor(low / step + 1e-9), last = Math.ceil(high / step - 1e-9);
  if (first === last) [first, last] = [first - 1, last + 1];
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => short((first + index) * step));
  return { low: ticks[0], high: ticks.at(-1), ticks, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), isLog: false };
}

/** Return an axis for shares, within 0..1; digits are those of a percentage. */
export function shareAxis(values) {
  const axis = linear(Math.min(...values), Math.max(...values), 0.001);
  const ticks = axis.ticks.filter((tick) => tick >= 0 && tick <= 1);
  return { ...axis, ticks, low: ticks[0], high: ticks.at(-1), digits: Math.max(0, axis.digits - 2) };
}

/** Return an axis for losses: logarithmic if they are positive and span two decades. */
export function lossAxis(values) {
  const low = Math.min(...values), high = Math.max(...values);
  if (!(low > 0 && high / low >= LOG_FROM)) return linear(low, high, 0);
  const below = ([1, 2, 5].map((factor) => factor * 10 ** Math.floor(Math.log10(low)))).findLast((one) => one <= low);
  const above = ([1, 2, 5, 10].map((factor) => factor * 10 ** Math.floor(Math.log10(high)))).find((one) => one >= high);
  const firstPower = Math.ceil(Math.log10(below) - 1e-9), lastPower = Math.floor(Math.log10(above) + 1e-9);
  const every = Math.ceil((lastPower - firstPower + 1) / MOST_POWERS);
  const powers = Array.from({ length: lastPower - firstPower + 1 }, (_, index) => firstPower + index)
    .filter((power) => (power - firstPower) % every === 0);
  return { low: short(below), high: short(above), ticks: powers.map((power) => short(10 ** power)), digits: 0, isLog: true };
}
