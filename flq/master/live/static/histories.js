// Small pictures of a worker's last rounds, one bar per round, distinguished by shape and colour.

import { number, say } from "./words.js";

const CELL = 4; // CSS pixels per round, including a gap of one
const HEIGHT = 20;
// Beginning and end of a bar, as fractions of the height.
const BARS = {
  u: { text: "uploaded", colour: "--uploaded", from: 0, to: 1 },
  s: { text: "skipped", colour: "--skipped", from: 0.75, to: 1 },
  r: { text: "refused", colour: "--refused", from: 0, to: 0.45 },
  l: { text: "late", colour: "--late", from: 0.45, to: 1 },
  x: { text: "lost", colour: "--lost", from: 0.38, to: 0.62 },
};

/** Return a canvas for a history. */
export function historyCanvas() {
  const canvas = document.createElement("canvas");
  canvas.className = "history";
  canvas.setAttribute("role", "img");
  return canvas;
}

/** Return the current colours by letter; read once for all pictures, since this forces a layout of the page. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(Object.entries(BARS).map(([letter, bar]) => [letter, style.getPropertyValue(bar.colour)]));
}

/** Draw a history, the newest round at the right; letters are those of the feed. */
export function draw(canvas, letters, nRounds, colours) {
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(nRounds * CELL * scale)) {
    canvas.width = Math.round(nRounds * CELL * scale);
    canvas.height = Math.round(HEIGHT * scale);
    canvas.style.aspectRatio = `${nRounds * CELL} / ${HEIGHT}`;
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, nRounds * CELL, HEIGHT);
  const start = nRounds - letters.length;
  for (const [letter, bar] of Object.entries(BARS)) {
    pen.fillStyle = colours[letter];
    for (let index = 0; index < letters.length; index += 1) {
      if (letters[index] !== letter) continue;
      pen.fillRect((start + index) * CELL, bar.from * HEIGHT, CELL - 1, (bar.to - bar.from) * HEIGHT);
    }
  }
  canvas.setAttribute("aria-label", inWords(letters));
}

function inWords(letters) {
  const counts = Object.entries(BARS).map(([letter, bar]) => [bar.text, letters.split(letter).length - 1]);
  const told = counts.filter(([, count]) => count).map(([text, count]) => `${say(text)} ${number(count)}`);
  return told.length ? `${say("past", { n: letters.length })}: ${told.join(", ")}` : say("noRounds");
}

/** Show the meaning of the bars. */
export function showLegend(list) {
  const colours = palette();
  list.replaceChildren(...Object.entries(BARS).map(([letter, bar]) => {
    const item = document.createElement("li");
    const canvas = historyCanvas();
    draw(canvas, letter.repeat(3), 3, colours);
    canvas.setAttribute("role", "presentation");
    canvas.removeAttribute("aria-label");
    item.append(canvas, say(bar.text));
    return item;
  }));
}
