#!/usr/bin/env python3
"""FLQ in one process, readable from top to bottom.

    python flq_fed_v3.py --dataset digits --model mlp --update delta --lr 0.1 --M 4 --batch 32 --iters 30
    python flq_fed_v3.py --dataset fmnist --mode bbit --b 4 --b_down 8 --M 20       # as FLQ v3 was published
    python flq_fed_v3.py --dataset fmnist --mode bin --b_down 8 --clip_global 1
    python flq_fed_v3.py --dataset digits --model mlp --update delta --lr 0.1 --memory mirror --thr_scale 1
    python flq_fed_v3.py --dataset digits --model logreg --mode laq --b 4 --b_down 0 --thr_scale 1 --batch 0 --lr 0.01

A master holds a model x, M workers hold data, and all of them hold the same copy w of the model.
In round k every worker computes an update u on w: the gradient of one minibatch, as in FLQ v3,
or the change made by local training (``--update delta``). It does not send u but a few bits per
parameter, C(..), and adds the quantization error to the next update (error feedback). A worker
may skip a round, and a budget may refuse its upload. The master adds the uploads, steps x, and
sends C(x - w) to all workers, again a few bits per parameter, which moves w towards x.

The loops are here; the mathematics is in flq/core, in the same functions that the real master
and workers call. With the same settings this file, ``flq.engines`` and the cluster make
the same model, bit for bit. Flags have the names and defaults of FLQ v3; docs/departures.md
says where and why this algorithm departs from it.
"""

import argparse
import errno
import os
import sys
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np

from flq.core import rng, server_step, upload_selection
from flq.core.codecs import MODES, QUANTIZERS, Payload, decode, lossless
from flq.core.layout import Vector
from flq.core.lowrank_budget import check_room, longest_upload
from flq.core.schedule import SCHEDULES
from flq.core.server_step import ServerState
from flq.core.settings import GRANT_ORDERS, MEMORIES, UPDATES, Settings, rules_from_settings, sections
from flq.core.strategies import AGGREGATORS, SERVER_OPTIMIZERS
from flq.core.worker_step import first_state, propose
from flq.durable import writing
from flq.errors import CodecError, DataError, FlqError
from flq.flags import TINY, Flags, within
from flq.output import make_output_safe
from flq.reasons import named_reason
from flq.report.divergence import TEST, TRAINING, DivergenceWatch
from flq.report.reference import CurveRow, write_curves
from flq.training.dataset_flags import add_set, check_data_dir, section_with
from flq.training.datasets import dataset_names, resolve_dataset
from flq.training.frameworks import make_task, model_names
from flq.training.sources.seen import all_warnings
from flq.training.task import Task, Trainer
from flq.v3_flags import in_flags


class Round(NamedTuple):
    """The outcome of a round; bits are those of payloads, the downlink's one copy per worker."""

    index: int  # type: ignore[assignment]
    server: ServerState
    uploads: Dict[int, Payload]
    skipped: List[int]
    refused: List[int]
    loss: float
    bits_up: int
    bits_down: int


def federate(settings: Settings, task: Optional[Task] = None) -> Iterator[Round]:
    """Train; yield after each round."""
    task = task or make_task(settings)  # model and data
    seed, n_rounds = settings.system.seed, settings.system.max_rounds
    everyone = range(settings.system.total_workers)
    rules = rules_from_settings(settings)

    # Both ends draw the same initial model from the seed, so that it is not sent: x^0 = w^0.
    layout, start = task.layout, task.start()
    check_room(len(everyone), layout, rules)
    upload_selection.check_admits(8 * longest_upload(len(everyone), layout, rules), rules)
    server = server_step.first_server_state(start)
    trainers = [Trainer(task, m) for m in everyone]
    n_samples = {m: trainers[m].n_samples for m in everyone}

    # The bits of a payload as it is sent: with --coding, after lossless compression.
    codings = lossless.common(rules.coding, lossless.known())

    def bits_of(payload: Payload, codec_id: int) -> int:
        return 8 * lossless.sent_size(payload, QUANTIZERS[codec_id].bits, codings)

    states = {m: first_state(layout, rules) for m in everyone}  # memories and lazy clocks, at the workers
    mirrors = {}  # g_m, at the master, if the memory has mirrors
    passed_over: Dict[int, int] = {}  # rounds in a row without a grant

    for k in range(1, n_rounds + 1):
        threshold = server_step.threshold(server, rules, len(everyone))  # S: the recent movement of the model

        sizes = server_step.payload_sizes(server, len(everyone), layout, rules)  # in mode lowrank

        # Every worker computes its update on w and decides whether to skip.
        proposals, losses = {}, {}
        for m in everyone:
            local = trainers[m].local_update(server.shared, k)
            noise = rng.stream(seed, rng.ROUNDING, k, m)  # for stochastic rounding, in mode laq8
            proposals[m] = propose(states[m], local.update, k, threshold, layout, rules, noise, sizes.up)
            losses[m] = local.loss
        willing = [m for m in everyone if proposals[m].payload is not None]

        # If the budget does not admit all, the workers with the most energy per bit may upload.
        costs = {m: bits_of(proposals[m].payload, rules.codec_up) for m in willing}
        granted = willing
        if rules.needs_offers:
            offers = [upload_selection.Offer(m, proposals[m].energy, costs[m]) for m in willing]
            granted = upload_selection.grant(offers, passed_over, rules, rng.stream(seed, rng.GRANTS, k))
            for m in willing:
                passed_over[m] = 0 if m in granted else passed_over.get(m, 0) + 1

        # Memories change only now, when the outcome is known.
        uploads = {m: proposals[m].payload for m in granted}
        for m in everyone:
            states[m] = proposals[m].if_applied if m in granted else proposals[m].if_not
            if rules.has_mirrors and m in granted:
                mirrors[m] = states[m].mirror  # the master adds the same decoded numbers: the same bits

        # G = sum of w_m D(upload_m), or of w_m g_m over all mirrors, silent workers' too, with w_m = 1 in
        # mode laq; then scaled by the number of uploads and clipped, if the settings say so.
        server, total = server_step.aggregate(server, n_samples, granted, uploads, mirrors, layout, rules)

        # x takes the server optimizer's step along G, and w := w + D(C(x - w)).
        server, delta = server_step.close_round(server, total, k, layout, rules)

        yield Round(
            k,
            server,
            uploads,
            skipped=[m for m in everyone if m not in willing],
            refused=[m for m in willing if m not in granted],
            loss=sum(n_samples[m] * losses[m] for m in everyone) / sum(n_samples.values()),
            bits_up=sum(costs[m] for m in granted),
            bits_down=0 if delta is None else bits_of(delta, rules.codec_down) * len(everyone),
        )


def settings_of(args: argparse.Namespace) -> Settings:
    """Return the settings for the flags."""
    is_v3 = args.update == "gradient" and args.mode != "laq"  # its defaults do not suit local training and LAQ
    scale = int(is_v3) if args.scale_by_selected is None else args.scale_by_selected
    b_up, b_down = (None, None) if args.mode == "lowrank" else (args.b, args.b_down)
    return Settings(
        sections.SystemSettings(
            total_workers=args.M, min_workers=args.M, max_rounds=args.iters, seed=args.seed, threads=args.threads
        ),
        section_with(
            sections.DatasetSettings(
                name=args.dataset,
                batch_size=args.batch,
                partition=args.partition,
                dir_alpha=args.dir_alpha,
                shards_per_worker=args.shards_per_worker,
                data_dir=args.data_dir,
            ),
            args.overrides,
        ),
        sections.ModelSettings(
            name=args.model,
            lr=args.lr,
            lr_schedule=args.lr_schedule,
            lr_decay=args.lr_decay,
            lr_decay_rounds=args.lr_decay_rounds,
            l2=(0.0 if args.model == "quadratic" else 5e-4) if args.cl is None else args.cl,
            local_optimizer=args.local_optimizer,
            mu=args.mu,
            logit_adjustment=args.logit_adjustment,
            local_epochs=args.local_epochs,
            local_steps=args.local_steps,
            server_optimizer=args.server_optimizer or ("adam" if is_v3 else "sgd"),
            server_lr=args.server_lr,
            server_momentum=args.server_momentum,
            ema=args.ema,
            dim=args.dim,
        ),
        sections.FlqAlgorithmSettings(
            mode=args.mode,
            update=args.update,
            b_up=b_up,
            b_down=b_down,
            bytes_up=args.bytes_up,
            bytes_down=args.bytes_down,
            coding=args.coding,
            memory=args.memory,
            aggregator=args.aggregator,
            scale_by_selected=bool(scale),
            sel_ref=args.sel_ref,
            clip_global=args.clip_global,
        ),
        sections.LazySelectionSettings(args.D, args.ck, args.C, args.warmup, args.thr_scale),
        sections.BudgetSelectionSettings(args.sel_clients, args.up_budget_bits, args.grant_by),
        sections.JetsonOptimizationSettings(
            gpu_memory_limit_mb=args.gpu_memory_limit_mb, prefetch_size=0, num_parallel_calls=1, telemetry_s=0.0
        ),
    )


def parse_flags(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line; names and defaults are those of FLQ v3."""
    flags = Flags(
        prog="flq_fed_v3.py",
        description="FLQ in one process: the readable reference.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    data = flags.add_argument_group("data")
    data.add_argument("--dataset", default="mnist", help=", ".join(dataset_names()))
    data.add_argument("--data_dir", default=None, help="where the data set's files are")
    data.add_argument("--partition", choices=("iid", "non_iid", "shards"), default="non_iid")
    data.add_argument(
        "--dir_alpha", type=within(float, 1e-6, 1e6), default=0.1, help="Dirichlet concentration of non_iid"
    )
    data.add_argument("--shards_per_worker", type=within(int, 1, 1e6), default=2, help="with partition shards")
    data.add_argument(
        "--batch", type=within(int, 0, 1e6), default=64, help="samples of a minibatch, 0 = all of a worker's"
    )

    add_set(data)

    run = flags.add_argument_group("run")
    run.add_argument("--M", type=within(int, 1, 4096), default=10, help="number of workers")
    run.add_argument("--iters", type=within(int, 1, 1e9), default=800, help="number of rounds")
    run.add_argument("--seed", type=within(int, 0, 2**63 - 1), default=42, help="fixes all randomness")
    run.add_argument(
        "--threads", type=within(int, 1, 1024), default=1, help="TensorFlow's threads: part of what fixes the bits"
    )
    run.add_argument("--gpu_memory_limit_mb", type=within(int, 1, 1e6), default=None, help="(default: as it grows)")
    run.add_argument(
        "--eval_every", type=within(int, 1, 1e9), default=1, help="evaluate every so many rounds, and after the last"
    )
    run.add_argument("--out", default="results", help="folder of the Excel file")

    model = flags.add_argument_group("model and optimizers")
    model.add_argument("--model", default="cnn", help=", ".join(model_names()) + " or package.module:function")
    model.add_argument("--dim", type=within(int, 4, 1e9), default=1000, help="number of parameters of quadratic")
    model.add_argument(
        "--lr",
        type=within(float, TINY, 1e6),
        default=1e-3,
        help="step of the server optimizer; with update delta, of the local one",
    )
    model.add_argument("--lr_schedule", choices=SCHEDULES, default="constant")
    model.add_argument("--lr_decay", type=within(float, TINY, 1), default=0.1)
    model.add_argument("--lr_decay_rounds", type=within(int, 1, 1e9), default=100)
    model.add_argument(
        "--cl",
        type=within(float, 0, 1e6),
        default=None,
        help="L2 penalty: cl/2 |v|^2 over all variables (default: 0.0005; with quadratic 0)",
    )
    model.add_argument(
        "--server_optimizer",
        choices=tuple(SERVER_OPTIMIZERS),
        default=None,
        help="(default: adam; with update delta or mode laq sgd)",
    )
    model.add_argument(
        "--server_lr",
        type=within(float, TINY, 1e6),
        default=1.0,
        help="step of the master; with update gradient it multiplies lr",
    )
    model.add_argument("--server_momentum", type=within(float, 0, 0.999999), default=0.7)
    model.add_argument(
        "--ema",
        type=within(float, 0, 0.999999),
        default=0.0,
        help="decay of an average of the model that is evaluated in its place; 0 = none",
    )
    model.add_argument("--local_optimizer", choices=("sgd", "momentum", "adam"), default="sgd")
    model.add_argument("--mu", type=within(float, 0, 1e6), default=0.0, help="FedProx: mu/2 |x - w|^2")
    model.add_argument(
        "--logit_adjustment",
        type=within(float, 0, 100),
        default=0.0,
        help="weight of the log of a worker's class shares in its logits; 0 = none",
    )
    model.add_argument(
        "--local_epochs", type=within(int, 0, 1e6), default=1, help="with update delta: passes over the data in a round"
    )
    model.add_argument(
        "--local_steps", type=within(int, 0, 1e6), default=0, help="minibatches instead of epochs; 0 = epochs"
    )

    bits = flags.add_argument_group("bits")
    bits.add_argument("--aggregator", choices=("auto", *AGGREGATORS), default="auto", help="sum in mode laq, else mean")
    bits.add_argument("--mode", choices=tuple(MODES), default="bbit")
    bits.add_argument(
        "--update",
        choices=UPDATES,
        default="gradient",
        help="gradient of one minibatch, or the change that local training makes",
    )
    bits.add_argument(
        "--b",
        type=int,
        choices=list(range(1, 9)) + [32],
        default=8,
        help="bits per parameter up; mode bin is 1; 32 = float32, in mode laq; not for mode lowrank",
    )
    bits.add_argument(
        "--b_down",
        type=within(int, 0, 32),
        default=8,
        help="bits down, 0 or 32 = float32; not for mode lowrank, which has --bytes_down",
    )
    bits.add_argument(
        "--bytes_up",
        type=within(int, 1, 1e9),
        default=None,
        help="largest payload of an upload in mode lowrank (default: by the model)",
    )
    bits.add_argument(
        "--bytes_down",
        type=within(int, 1, 1e9),
        default=None,
        help="largest payload of the model's difference (default: by the model)",
    )
    bits.add_argument(
        "--coding",
        choices=lossless.SETTINGS,
        default="none",
        help="lossless coding of payloads: bits are counted after it",
    )
    bits.add_argument(
        "--memory",
        choices=MEMORIES,
        default=None,
        help="(default: flq, which is both residual and mirror; with update delta residual; with mode laq mirror)",
    )
    bits.add_argument(
        "--scale_by_selected",
        type=int,
        choices=(0, 1),
        default=None,
        help="1: multiply the aggregate by the round's number of uploads / sel_ref (default: 1; with "
        "update delta or mode laq 0)",
    )
    bits.add_argument("--sel_ref", type=within(int, 1, 4096), default=1, help="see scale_by_selected")
    bits.add_argument(
        "--clip_global",
        type=within(float, 0, 1e9),
        default=0.0,
        help="largest Euclidean norm of the aggregate; 0 = any",
    )

    silence = flags.add_argument_group("budget and silence")
    silence.add_argument(
        "--up_budget_bits",
        type=within(int, 0, 1e15),
        default=17000000,
        help="payload bits that a round may spend; 0 = any",
    )
    silence.add_argument(
        "--grant_by", choices=GRANT_ORDERS, default="energy", help="which workers come first if not all may upload"
    )
    silence.add_argument(
        "--sel_clients", type=within(int, 0, 4096), default=0, help="uploads that a round may have; 0 = any"
    )
    silence.add_argument(
        "--thr_scale", type=within(float, 0, 1e6), default=0.0, help="factor of the lazy threshold, 0 = never skip"
    )
    silence.add_argument("--warmup", type=within(int, 0, 1e9), default=0, help="rounds without skips")
    silence.add_argument("--C", type=within(int, 0, 1e9), default=10**9, help="most rounds in a row without an upload")
    silence.add_argument("--D", type=within(int, 1, 10000), default=10, help="past aggregates in the lazy threshold")
    silence.add_argument("--ck", type=within(float, 0, 1e6), default=0.8, help="their total weight")
    args = flags.parse_args(argv)
    if args.dataset == "own":
        flags.error("argument --dataset: own is for workers with data of their own, name a file, such as csv:FILE")
    if args.local_epochs == args.local_steps == 0:
        flags.error("argument --local_steps: must be > 0 when --local_epochs is 0, got 0")
    return args


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Train, show progress, and write an Excel file in the layout of FLQ v3."""
    args = parse_flags(argv)
    check_data_dir(args.data_dir)
    given = settings_of(args)
    settings = resolve_dataset(given)
    mode = rules_from_settings(settings).mode
    task = make_task(settings)
    task.check()  # reports bad settings before TensorFlow starts, which takes seconds
    for warning in all_warnings(task.seen, given.dataset.scale is not None):
        print("warning: %s" % in_flags(warning, of_data=True), file=sys.stderr)
    path = os.path.join(args.out, "results_%s_%s.xlsx" % (args.dataset.partition(":")[0], mode))
    with writing("the Excel file cannot be written", args.out, "--out must be a writable folder"):
        os.makedirs(args.out, exist_ok=True)
        if not os.access(args.out, os.W_OK):  # better known now than after the training
            raise PermissionError(errno.EACCES, "it is read-only for this user", args.out)
    curves: List[CurveRow] = []
    signs: List[Any] = []
    try:
        run(settings, task, args.eval_every, curves, signs if mode == "bin" else None)
    finally:
        if curves:  # even if the run was stopped
            write_curves(path, mode, curves, signs if mode == "bin" else None)
            print("results: %s" % path, flush=True)
    return 0


def run(settings: Settings, task: Task, eval_every: int, curves: List[CurveRow], signs: Optional[List[Any]]) -> None:
    """Train, evaluate and show progress; ``curves`` gets a row per round, ``signs`` (iteration, majority sign)."""
    n_rounds = settings.system.max_rounds
    bits_up, bits_down, watched = 0, 0, None
    watch = DivergenceWatch(is_classifier=settings.model.has_data)
    advice = "lower --lr" + (", or check dataset.scale (--set)" if settings.model.has_data else "")
    with Progress(n_rounds) as progress:
        for done in federate(settings, task):
            bits_up, bits_down = bits_up + done.bits_up, bits_down + done.bits_down
            accuracy = entropy = None
            if done.index % eval_every == 0 or done.index == n_rounds:
                metrics = task.evaluate(done.server.result)
                entropy, accuracy = metrics.get("loss"), metrics.get("accuracy")
            curves.append(
                CurveRow(
                    done.index, done.loss, accuracy, entropy, len(done.uploads), bits_up, bits_down, bits_up + bits_down
                )
            )
            if signs is not None and done.uploads:
                votes = sum(np.sign(decode(QUANTIZERS[1], payload, task.layout)) for payload in done.uploads.values())
                watched = watched if watched is not None else most_agreed(votes)
                signs.append((done.index, int(np.sign(votes[watched]))))
            progress.tell(task.notes)
            progress.show(done, accuracy, entropy, bits_up, bits_down)
            found = watch.take(done.index, {TRAINING: done.loss, TEST: entropy})
            if found is not None:
                progress.tell(["warning: " + found.sentence(advice)])


def most_agreed(votes: Vector) -> int:
    """Return the coordinate on whose sign most workers agree, the first of several."""
    return int(np.argmax(np.abs(votes)))


class Progress:
    """A bar on a terminal, otherwise a line per round."""

    def __init__(self, n_rounds: int) -> None:
        self._n_rounds = n_rounds
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self._n_rounds, unit="round", dynamic_ncols=True)
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def tell(self, notes: List[str]) -> None:
        """Print a task's notes on stderr, and remove them."""
        while notes:
            (print if self._bar is None else self._bar.write)(in_flags(notes.pop(0), of_data=True), file=sys.stderr)

    def show(
        self, done: Round, accuracy: Optional[float], entropy: Optional[float], bits_up: int, bits_down: int
    ) -> None:
        """Show the outcome of a round."""
        tested = "" if entropy is None else " test_loss=%.6g" % entropy
        tested = tested if accuracy is None else " accuracy=%.4f" % accuracy + tested
        line = "loss=%.6g uploaded=%d skipped=%d refused=%d bits_up=%d bits_down=%d" % (
            done.loss,
            len(done.uploads),
            len(done.skipped),
            len(done.refused),
            bits_up,
            bits_down,
        )
        if self._bar is not None:
            self._bar.set_postfix_str(tested.strip() + " " + line if tested else line, refresh=False)
            self._bar.update()
        else:
            print("round=%d%s %s" % (done.index, tested, line), flush=True)


def guarded_main(argv: Optional[Sequence[str]] = None) -> int:
    """Run :func:`main`; print an error as one sentence, and return 1, or 2 for invalid settings."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # encode() rejects non-finite values
            return main(argv)
    except CodecError as error:
        code, sentence = 1, "the training has diverged: %s; lower --lr or --server_lr" % error
    except FlqError as error:
        code, sentence = 2, in_flags(str(error), of_data=isinstance(error, DataError))
    except KeyboardInterrupt:
        code, sentence = 130, "stopped"
    except Exception as error:  # TensorFlow may raise any
        code, sentence = 1, named_reason(error)
    print("flq_fed_v3.py: %s" % sentence, file=sys.stderr)
    return code


if __name__ == "__main__":
    make_output_safe()
    sys.exit(guarded_main())
