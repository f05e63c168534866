// Where the results of an ended run are: names for everybody, links and whole paths for the operator.

import { say } from "./words.js";

const by = (id) => document.getElementById(id);

function line(key, value) {
  const element = document.createElement("li");
  const name = document.createElement("bdi");
  name.textContent = value;
  const [before, after] = say(key, { value: "\n" }).split("\n");
  element.append(before, name, after);
  return element;
}

/** Show the results of a run that has ended; paths are those of its files, if they are known, by their name. */
export function showResults(state, paths, isGone) {
  const { results } = state ?? {};
  by("results").hidden = !results;
  if (!results) return;
  const { workbook, folder } = results;
  const lines = [line("placeOfRun", paths["config.json"]?.replace(/[^\\/]*$/, "") ?? `${folder}/`)];
  if (workbook) lines.unshift(line("placeOfWorkbook", paths[workbook] ?? workbook));
  by("places").replaceChildren(...lines);
  by("places-note").textContent = [Object.keys(paths).length ? "" : say("placesNote"), say(isGone ? "placesGone" : "placesLive")]
    .filter(Boolean).join(" ");
  by("get-workbook").hidden = isGone || !workbook;
  by("all-files").hidden = isGone;
  by("show-files").disabled = isGone;
}
