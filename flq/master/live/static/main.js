// The live page: keeps the messages of the feed, and shows them in the page's parts.

import { Curves } from "./curves.js";
import { Feed } from "./feed.js";
import { Files } from "./files.js";
import { Log } from "./log.js";
import { ask, askFirst, token } from "./operator.js";
import { isRunning, showOverview } from "./overview.js";
import { onSwitch } from "./switches.js";
import { say } from "./words.js";
import { Workers } from "./workers.js";

const by = (id) => document.getElementById(id);
const newest = { state: null, rounds: null, log: null };
const curves = new Curves();
const workers = new Workers();
const log = new Log();
const files = new Files();
let contact = { how: "connecting", since: "" };

function showContact(how) {
  if (how !== contact.how) contact = { how, since: new Date().toLocaleTimeString() };
  const hasEnded = how === "none" && newest.state?.state === "FINISHED";
  by("closed").hidden = how !== "refused";
  by("contact").dataset.contact = hasEnded ? "gone" : how;
  const text = how === "refused" ? "" : say(hasEnded ? "gone" : how, { time: contact.since });
  if (by("contact").textContent !== text) by("contact").textContent = text;
}

function show(kind, isNew = false) {
  const { state, rounds } = newest;
  if (kind === "log") log.show(newest.log.items, isNew);
  if (state && kind !== "log") showOverview(state, rounds);
  if (rounds && kind === "rounds") curves.show(rounds.curves, isNew);
  if (state && kind !== "log") workers.show(state, rounds?.histories ?? {}, isNew);
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
  showContact(contact.how);
  if (newest.state) show("state", true);
  if (newest.rounds) show("rounds", true);
  if (newest.log) show("log", true);
}

onSwitch(showAll);
const feed = new Feed(token, take, showContact);
feed.run();

for (const choice of document.querySelectorAll("input[name=axis]")) {
  choice.addEventListener("change", () => { if (newest.rounds) curves.show(newest.rounds.curves, true); });
}
by("show-files").addEventListener("click", () => files.open());
by("stop").addEventListener("click", () => askFirst({
  title: "stopTitle", text: "stopText", action: "stopNow", busy: "stopping", isDanger: true, perform: () => ask("stop", "POST") }));
by("open").addEventListener("click", async () => {
  await askFirst({ title: "tokenTitle", text: "tokenText", action: "go", perform: () => ask("status") });
  feed.again();
});
