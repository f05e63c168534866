// The files of the run: those of GET /results, by kind, and the newest model; each is fetched with the token.

import { ask, withToken } from "./operator.js";
import { bytes, has, say } from "./words.js";

const KINDS = ["workbook", "model", "figure", "configuration"];
const FORMS = ["npz", "keras"]; // of the newest model

const by = (id) => document.getElementById(id);

/** The list of files, shown when the operator has requested it; changed() is called when it is new. */
export class Files {
  #files = null; #changed;

  constructor(changed) {
    this.#changed = changed;
  }

  /** Paths on the master's machine by name, empty as long as the operator has not requested the list. */
  get paths() {
    return Object.fromEntries((this.#files ?? []).map((file) => [file.name, file.path]));
  }

  /** Request the list; ask for the token if it is unknown. */
  async open() {
    try {
      await withToken(() => this.look());
    } catch (error) {
      by("files-note").textContent = say("failed", { why: error.message });
    }
  }

  /** Refresh the list if it is shown. */
  async refresh() {
    if (this.#files) await this.open();
  }

  async look() {
    this.#files = (await (await ask("results")).json()).files;
    this.show();
    this.#changed();
    return true;
  }

  /** Save a file by the browser; the button is disabled meanwhile. */
  async save(button, name) {
    await this.#fetch(button, `results/${encodeURIComponent(name)}`, name);
    if (!this.#files) await this.open();
  }

  /** Show the list in the current language. */
  show() {
    if (!this.#files) return;
    by("show-files").textContent = say("refresh");
    by("files-note").textContent = this.#files.length ? "" : say("noFiles");
    const kinds = [...KINDS, ...new Set(this.#files.map((file) => file.kind).filter((kind) => !KINDS.includes(kind)))];
    by("files").replaceChildren(...kinds.map((kind) => this.#group(kind)).filter(Boolean));
  }

  #group(kind) {
    const buttons = this.#files.filter((file) => file.kind === kind).map((file) => this.#button(
      `${file.name} · ${bytes(file.bytes)}`, `results/${encodeURIComponent(file.name)}`, file.name));
    if (kind === "model") {
      for (const form of FORMS) {
        buttons.push(this.#button(say("newest", { form }), `get_global_model?format=${form}`, `model.${form}`));
      }
    }
    if (!buttons.length) return null;
    const group = document.createElement("section");
    const heading = document.createElement("h3");
    heading.textContent = has(kind) ? say(kind) : kind;
    const list = document.createElement("div");
    list.append(...buttons);
    group.append(heading, list);
    return group;
  }

  #button(text, path, name) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", () => this.#fetch(button, path, name));
    return button;
  }

  async #fetch(button, path, name) {
    button.disabled = true;
    by("files-note").textContent = say("fetching", { name });
    try {
      await withToken(async () => {
        const link = document.createElement("a");
        link.href = URL.createObjectURL(await (await ask(path)).blob());
        link.download = name;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      });
      by("files-note").textContent = say("fetched", { name });
    } catch (error) {
      by("files-note").textContent = say("failed", { why: error.message });
    }
    button.disabled = false;
  }
}
