// The live page: keeps the messages of the feed, and shows them in the page's parts.

import { Curves } from "./curves.js";
import { Feed } from "./feed.js";
import { Files } from "./files.js";
import { Log } from "./log.js";
import { ask, askFirst, token } from "./operator.js";
import { isRunning, showOverview } from "./overview.js";
import { showResults } from "./results.js";
import { onSwitch } from "./switches.js";
import { moment, say } from "./words.js";
import { Workers } from "./workers.js";

const by = (id) => document.getElementById(id);
const newest = { state: null, rounds: null, log: null };
const curves = new Curves();
const workers = new Workers();
const log = new Log();
const files = new Files(() => showPlaces());
let contact = "connecting";
let heardAt = Date.now();

const hasEnded = () => contact === "none" && newest.state?.state === "FINISHED";

/** While contact is lost, the page is grey, and says since when: its numbers are those of then. */
function showContact(how) {
  contact = how;
  const isLost = how === "none" && !hasEnded();
  const since = { time: moment(heardAt / 1000) };
  by("closed").hidden = how !== "refused";
  document.body.classList.toggle("stale", isLost);
  by("stale").hidden = !isLost;
  by("stop").disabled = isLost;
  const note = isLost ? say("stale", since) : "";
  if (by("stale").textContent !== note) by("stale").textContent = note;
  by("contact").dataset.contact = hasEnded() ? "gone" : how;
  const text = how === "refused" ? "" : say(hasEnded() ? "gone" : how, since);
  if (by("contact").textContent !== text) by("contact").textContent = text;
  showPlaces();
}

function showPlaces() {
  showResults(newest.state, files.paths, hasEnded());
}

function show(kind, isNew = false) {
  const { state, rounds } = newest;
  if (kind === "log") log.show(newest.log.items, isNew);
  if (state && kind !== "log") showOverview(state, rounds);
  if (rounds && kind === "rounds") curves.show(rounds.curves, isNew);
  if (state && kind !== "log") workers.show(state, rounds?.histories ?? {}, isNew);
  if (kind === "state") showPlaces();
}

function take(kind, value) {
  const before = newest.state;
  newest[kind] = value;
  show(kind);
  if (kind === "state" && before && isRunning(before) && !isRunning(value)) files.refresh();
}

function showAll() {
  workers.dress();
  files.show();
  showContact(contact);
  if (newest.state) show("state", true);
  if (newest.rounds) show("rounds", true);
  if (newest.log) show("log", true);
}

onSwitch(showAll);
const feed = new Feed(token, take, showContact, () => { heardAt = Date.now(); });
feed.run();

for (const choice of document.querySelectorAll("input[name=axis]")) {
  choice.addEventListener("change", () => { if (newest.rounds) curves.show(newest.rounds.curves, true); });
}
by("show-files").addEventListener("click", () => files.open());
by("all-files").addEventListener("click", () => files.open());
by("get-workbook").addEventListener("click", () => files.save(by("get-workbook"), newest.state.results.workbook));
by("stop").addEventListener("click", () => askFirst({
  title: "stopTitle", text: "stopText", action: "stopNow", busy: "stopping", isDanger: true, perform: () => ask("stop", "POST") }));
by("open").addEventListener("click", async () => {
  await askFirst({ title: "tokenTitle", text: "tokenText", action: "go", perform: () => ask("status") });
  feed.again();
});
