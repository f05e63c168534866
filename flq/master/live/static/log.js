// The log, newest line first. The master's sentences are English and may quote a worker.

import { clock, has, say, told } from "./words.js";

const MOST = 200;

function line(item) {
  const element = document.createElement("li");
  element.dataset.kind = item.kind;
  const time = document.createElement("time");
  time.dateTime = new Date(1000 * item.at).toISOString();
  time.textContent = clock(item.at);
  time.className = "dim";
  const kind = document.createElement("span");
  kind.className = "kind";
  kind.textContent = has(`${item.kind}Kind`) ? say(`${item.kind}Kind`) : item.kind;
  const text = document.createElement("bdi");
  const own = told(item);
  if (own === null) text.lang = "en";
  text.textContent = own ?? item.text;
  element.append(time, kind, text);
  return element;
}

/** The log; only new lines are added, so that a screen reader reads each once. */
export class Log {
  #list = document.getElementById("log"); #last = 0;

  /** Show the newest items; isNew: the language has changed. */
  show(items, isNew) {
    const isOther = items.length > 0 && items.at(-1).number < this.#last; // another process of the master
    if (isNew || isOther) {
      this.#list.replaceChildren();
      this.#last = 0;
    }
    for (const item of items) {
      if (item.number > this.#last) this.#list.prepend(line(item));
    }
    this.#last = items.at(-1)?.number ?? this.#last;
    while (this.#list.children.length > MOST) this.#list.lastChild.remove();
  }
}
