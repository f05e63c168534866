// The table of the workers. Their texts are inserted as plain text, isolated from the direction of other text.

import { draw, historyCanvas, palette, showLegend } from "./histories.js";
import { bytesLike, lossesLike, number, say, timesLike } from "./words.js";

const HISTORY = 60;
const COUNTS = ["uploaded", "skipped", "refused", "late", "lost"];
const COLUMNS = ["worker", "presence", "past", ...COUNTS, "wire", "loss", "samples", "temperature", "watts", "seen"];
const FIELDS = { loss: "loss", temperature: "temperature_c", watts: "power_w" }; // of columns that are hidden if all are null
const LEFT = ["worker", "presence", "past"];
const CLASSES = { worker: "who", presence: "presence", past: "past" };

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A worker's row; after it is made, only changed cells are written. */
class Row {
  #cells = {}; #name = document.createElement("bdi"); #trouble = document.createElement("bdi"); #canvas = historyCanvas();
  #drawn = null;

  constructor(id) {
    this.element = document.createElement("tr");
    this.element.setAttribute("role", "row");
    for (const column of COLUMNS) {
      const cell = document.createElement("td");
      cell.setAttribute("role", column === "worker" ? "rowheader" : "cell");
      cell.className = [CLASSES[column], LEFT.includes(column) ? "left" : ""].filter(Boolean).join(" ");
      this.#cells[column] = cell;
      this.element.append(cell);
    }
    const number_ = document.createElement("span");
    number_.className = "id";
    number_.textContent = id;
    this.#trouble.className = "trouble";
    this.#cells.worker.append(number_, this.#name, this.#trouble);
    this.#cells.past.append(this.#canvas);
  }

  /** formats: functions that write the values of a column; hidden: the columns without values. */
  show(worker, hasEnded, formats, hidden) {
    const cells = this.#cells;
    for (const column of Object.keys(FIELDS)) cells[column].hidden = hidden.has(column);
    put(this.#name, worker.name ?? "");
    const troubles = [worker.throttled ? say("throttled") : "", worker.problem].filter(Boolean).join("; ");
    put(this.#trouble, troubles);
    const presence = worker.connected ? "here" : hasEnded ? "ended" : "lost";
    cells.presence.dataset.presence = presence;
    put(cells.presence, say(presence === "lost" ? "lostState" : presence));
    for (const name of COUNTS) this.#tell(name, number(worker[name]), !worker[name]);
    this.#tell("wire", formats.wire(worker.wire_bytes));
    this.#tell("loss", formats.loss(worker.loss));
    this.#tell("samples", number(worker.samples));
    this.#tell("temperature", number(worker.temperature_c), worker.temperature_c === null);
    this.#tell("watts", number(worker.power_w, 1), worker.power_w === null);
    cells.temperature.classList.toggle("hot", Boolean(worker.throttled));
    this.#tell("seen", say("ago", { time: formats.seen(worker.last_seen_s) }));
  }

  /** Draw the history of its last rounds; isNew: language or colours have changed. */
  past(letters, colours, isNew) {
    if (isNew || letters !== this.#drawn) draw(this.#canvas, letters, HISTORY, colours);
    this.#drawn = letters;
  }

  /** Write a cell; on a phone its name is shown next to it, and blank cells are hidden. */
  #tell(column, text, isBlank = false) {
    put(this.#cells[column], text);
    this.#cells[column].toggleAttribute("data-blank", isBlank);
    if (this.#cells[column].dataset.name !== say(column)) this.#cells[column].dataset.name = say(column);
  }
}

/** The table. */
export class Workers {
  #rows = new Map(); #body = document.getElementById("workers"); #headings = {};

  /** Write the headings and the legend in the current language and colours. */
  dress() {
    document.getElementById("columns").replaceChildren(...COLUMNS.map((column) => {
      const heading = document.createElement("th");
      heading.scope = "col";
      heading.setAttribute("role", "columnheader");
      heading.className = LEFT.includes(column) ? "left" : "";
      heading.textContent = say(column, { n: HISTORY });
      this.#headings[column] = heading;
      return heading;
    }));
    showLegend(document.getElementById("legend"));
  }

  show(state, histories, isNew) {
    document.getElementById("no-workers").hidden = state.workers.length > 0;
    document.getElementById("workers-scroll").hidden = state.workers.length === 0;
    const colours = palette();
    const column = (field) => state.workers.map((worker) => worker[field]);
    const formats = { wire: bytesLike(column("wire_bytes")), loss: lossesLike(column("loss")), seen: timesLike(column("last_seen_s")) };
    const hidden = new Set(Object.keys(FIELDS).filter((name) => column(FIELDS[name]).every((value) => value === null)));
    for (const name of Object.keys(FIELDS)) this.#headings[name].hidden = hidden.has(name);
    for (const worker of state.workers) {
      if (!this.#rows.has(worker.id)) this.#add(worker.id);
      const row = this.#rows.get(worker.id);
      row.show(worker, state.state === "FINISHED", formats, hidden);
      row.past(histories[worker.id] ?? "", colours, isNew);
    }
  }

  #add(id) {
    const row = new Row(id);
    this.#rows.set(id, row);
    const after = [...this.#rows.keys()].filter((other) => other > id).sort((a, b) => a - b)[0];
    this.#body.insertBefore(row.element, after === undefined ? null : this.#rows.get(after).element);
  }
}
