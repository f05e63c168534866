// What a worker did in its last rounds: a small picture, a bar for each round, told apart by form and by colour.

import { number, say } from "./words.js";

const CELL = 4; // CSS pixels for a round, one of them a gap
const HEIGHT = 20;
// From where to where a bar goes, as a share of the height.
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

/** Return the colours of now, by letter: read once for all pictures, since that makes the browser lay out the page. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(Object.entries(BARS).map(([letter, bar]) => [letter, style.getPropertyValue(bar.colour)]));
}

/** Draw a history of so many rounds, the newest at the right; letters are those of the feed. */
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

/** Say what the bars mean. */
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
