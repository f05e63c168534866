// Overview of the run: state, progress and key figures.

import { bytes, duration, loss, number, percent, say } from "./words.js";

const RUNNING = ["LOBBY", "OPEN", "CLOSING"];
const QUANTITIES = { "training loss": "lossOfTraining", "test loss": "lossOfTest", "loss on the workers' own data": "lossOfOwn",
  "updates of the workers": "updates" }; // of flq/report/divergence.py

const MOST_NAMES = 10; // of classes

const by = (id) => document.getElementById(id);

function show(id, text) {
  const element = by(id);
  if (element.textContent !== text) element.textContent = text;
}

export const isRunning = (state) => RUNNING.includes(state.state);

/** Show the newest messages; `rounds` may be missing yet. */
export function showOverview(state, rounds) {
  const isTraining = state.state === "OPEN" || state.state === "CLOSING";
  show("run-id", state.run_id);
  show("state", say(state.state));
  by("state").dataset.state = state.state;
  show("setup", [state.model, state.dataset, state.mode].filter(Boolean).join(" · "));
  by("seen").hidden = !state.data;
  show("seen", state.data ? seen(state.data) : "");
  by("stop-card").hidden = !isRunning(state);
  by("problem").hidden = !state.problem;
  show("problem", state.problem ?? "");
  by("divergence").hidden = !state.divergence;
  show("divergence", state.divergence ? diverges(state) : "");

  const round = state.state === "FINISHED" ? (rounds?.n_rounds ?? state.current_round) : state.current_round;
  by("progress").max = state.max_rounds;
  by("progress").value = rounds?.n_rounds ?? 0;
  show("progress-text", state.state === "LOBBY" && !round
    ? say("waiting", { here: state.connected_workers, least: state.min_workers })
    : say("progress", { round: number(round), most: number(state.max_rounds) }));
  const left = rounds?.time_left_s;
  show("time-left", isTraining && typeof left === "number" ? say("left", { time: duration(left) }) : "");
  document.title = round ? `${round}/${state.max_rounds} · FLQ` : "FLQ";

  show("here", number(state.connected_workers));
  const nLost = state.workers.filter((worker) => !worker.connected).length;
  show("here-more", [say("ofWorkers", { total: number(state.total_workers) }),
    ...(isRunning(state) && nLost ? [say("lostNow", { n: number(nLost) })] : [])].join(" · "));
  if (rounds?.snapshot) showSnapshot(state, rounds.snapshot);
}

/** Show the key figures after one round, all of them of the same. */
function showSnapshot(state, snapshot) {
  const { wire_bytes_up: up, wire_bytes_down: down, float_bytes: float, budget } = snapshot;
  const whose = say(state.has_own_data ? "ownData" : "testSet");
  show("snapshot", say("afterRound", { round: number(snapshot.round) }));
  by("accuracy").parentElement.hidden = snapshot.highest === null && snapshot.lowest !== null; // the model has no accuracy
  show("accuracy", percent(snapshot.accuracy));
  show("accuracy-more", snapshot.highest === null ? "" : `${whose} · ${say("highest", { value: percent(snapshot.highest) })}`);
  show("loss", loss(snapshot.test_loss ?? snapshot.training_loss));
  show("loss-more", snapshot.lowest === null ? say("ofTraining") : `${whose} · ${say("lowest", { value: loss(snapshot.lowest) })}`);
  show("bytes", bytes(up + down));
  show("bytes-more", say("upDown", { up: bytes(up), down: bytes(down) }));

  const wire = up + down;
  const factor = float / wire;
  show("saved", !wire || !float ? "–" : factor >= 1 ? say("timesLess", { factor: times(factor) })
    : say("timesMore", { factor: times(1 / factor) }));
  show("saved-more", wire && float ? say("insteadOf", { wire: bytes(wire), float: bytes(float) }) : "");
  by("budget-tile").hidden = !budget;
  if (budget) {
    show("budget", percent(budget.last));
    by("budget-meter").value = budget.last;
    show("budget-more", say("budgetMore", { bits: number(budget.bits), mean: percent(budget.mean) }));
  }
}

/** Return what was seen of the data; the names of classes may come from workers. */
function seen(data) {
  const names = (data.class_names ?? []).slice(0, MOST_NAMES), rest = data.n_classes - names.length;
  const listed = names.length ? `: ${names.join(", ")}${rest > 0 ? say("andMore", { n: number(rest) }) : ""}` : "";
  return [
    say("samplesOf", { n: number(data.n_train + data.n_test), shape: data.shape.join(" × ") }),
    say("classes", { n: number(data.n_classes) }) + listed,
    say("valuesTo", { lowest: data.lowest, highest: data.highest }) + (data.scale === 1 ? "" : say("dividedBy", { scale: data.scale })),
  ].join(" · ");
}

const times = (factor) => number(factor, factor < 10 ? 1 : 0);

/** Return what is seen of a divergence, what it was before, and what to try. */
function diverges({ divergence, dataset }) {
  const { value, round_index: round, first, first_round: firstRound } = divergence;
  return [
    say("diverges", { name: say(QUANTITIES[divergence.quantity]), round: number(round), value: value === null ? say("notFinite") : loss(value) }),
    ...(first === null ? [] : [say("divergesFrom", { first: loss(first), round: number(firstRound) })]),
    say(dataset ? "tryScale" : "tryLr"),
  ].join(" ");
}
