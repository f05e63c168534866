// The language: selection, texts, and formats of numbers, amounts and times.

import { SENTENCES, TEXTS } from "./texts.js";

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"]; // of 1000
const NONE = "–"; // unknown

let language = "en";

export const current = () => language;

/** Set the language of the page. */
export function speak(name) {
  language = name;
  document.documentElement.lang = name === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label));
  }
}

/** Return the first available language of the browser's list. */
export function preferred() {
  const first = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in TEXTS);
  return first ?? "en";
}

const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

/** Return a text with its values filled in. */
export const say = (key, values = {}) => filled(TEXTS[language][key], values);

/** Return a log line in the current language; null if there is only the master's English. */
export function told(item) {
  const sentences = SENTENCES[language] ?? {};
  return Object.hasOwn(sentences, item.kind) ? filled(sentences[item.kind], item) : null;
}

/** Return whether there is such a text. */
export const has = (key) => key in TEXTS[language];

const formats = new Map(); // cached: making one takes longer than using it a hundred times

function format(value, options) {
  const key = language + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(language, options));
  return formats.get(key).format(value);
}

export function number(value, digits = 0) {
  if (value === null || value === undefined) return NONE;
  return format(value, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Return a loss with about four digits. */
export function loss(value) {
  if (value === null || value === undefined) return NONE;
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5)) return value.toExponential(2);
  return format(value, { maximumSignificantDigits: 4 });
}

/** Return a function that writes all losses of a column in one format, with about four digits of the largest. */
export function lossesLike(values) {
  const sizes = values.filter((value) => value !== null && value !== 0).map(Math.abs);
  const most = Math.max(...sizes, 0), digits = Math.max(0, 3 - Math.max(0, Math.floor(Math.log10(most || 1))));
  if (sizes.length && (most >= 1e5 || most < 1e-2)) return (value) => (value === null ? NONE : value.toExponential(2));
  return (value) => number(value, digits);
}

export const percent = (share, digits = 1) => (
  share === null || share === undefined ? NONE : `${number(100 * share, digits)} %`);

export const bytes = (value) => bytesLike([value])(value);

/** Return a function that writes all amounts of a column in one unit, that of the largest or, if it is too coarse, the next. */
export function bytesLike(values) {
  const most = Math.round(Math.max(...values, 0)), least = Math.min(...values.filter((value) => value > 0), most);
  let unit = Math.min(UNITS.length - 1, Math.floor((String(most).length - 1) / 3));
  if (unit && least < 0.01 * 1000 ** unit) unit -= 1;
  const scaled = most / 1000 ** unit;
  const digits = unit && scaled < 100 ? (scaled < 10 ? 2 : 1) : 0;
  return (value) => `${number(value / 1000 ** unit, digits)} ${UNITS[unit]}`;
}

const PARTS = { en: [" d", " h", " min", " s"], zh: [" 天", " 小时", " 分钟", " 秒"] };

/** Return a time in its two largest units. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const amounts = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60, whole % 60];
  const first = Math.min(3, Math.max(0, amounts.findIndex((amount) => amount > 0)));
  if (whole === 0) return `0${PARTS[language][3]}`;
  return amounts.slice(first, first + 2).map((amount, index) => [amount, PARTS[language][first + index]])
    .filter(([amount], index) => index === 0 || amount > 0).map(([amount, part]) => `${amount}${part}`).join(" ");
}

/** Return a function that writes all times of a column in one format: 12 s, 3:05 min or 1:02:45 h. */
export function timesLike(values) {
  const most = Math.round(Math.max(...values, 0));
  const two = (part) => String(part).padStart(2, "0");
  if (most < 100) return (value) => `${Math.round(value)}${PARTS[language][3]}`;
  return (value) => {
    const whole = Math.round(value), minutes = Math.floor(whole / 60) % 60, hours = Math.floor(whole / 3600);
    return most < 3600 ? `${Math.floor(whole / 60)}:${two(whole % 60)}${PARTS[language][2]}`
      : `${hours}:${two(minutes)}:${two(whole % 60)}${PARTS[language][1]}`;
  };
}

export const clock = (seconds1970) => new Date(1000 * seconds1970).toLocaleTimeString(language, { hour12: false });

/** Return a time of day, with the date unless it is today. */
export function moment(seconds1970) {
  const at = new Date(1000 * seconds1970);
  return at.toDateString() === new Date().toDateString() ? clock(seconds1970) : at.toLocaleString(language, { hour12: false });
}
