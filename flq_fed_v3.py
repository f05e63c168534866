#!/usr/bin/env python3
"""FLQ in one process, to be read from top to bottom.

    python flq_fed_v3.py                                   # 4 workers, 4 bits both ways, digits
    python flq_fed_v3.py --mode bin --b_down 2 --iters 60
    python flq_fed_v3.py --memory mirror --thr_scale 1     # silent workers' last updates are used again
    python flq_fed_v3.py --partition non_iid --dir_alpha 0.1 --up_budget_bits 130000
    python flq_fed_v3.py --mode bin --b_down 8 --clip_global 1

A master holds a model x. M workers hold data. All of them hold the same copy w of the model.
In round k every worker trains on w, and what its training changed is its update u. It does
not send u but a few bits per parameter, C(..), and remembers what the bits could not say.
It may stay silent, and a budget may refuse it. The master adds up what came, steps x, and
sends everybody C(x - w), again a few bits per parameter, which moves w towards x.

The loops are here, the mathematics is in flq/core: the same functions that the real master
and workers call. With the same settings this file, ``flq.simulate`` and the cluster make
the same model, bit for bit.
"""

import argparse
import sys
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np

from flq.core import budget, server_round
from flq.core.draws import start_values
from flq.core.rules import MEMORIES, MODES, rules_from_settings
from flq.core.server_round import ServerState
from flq.core.worker_round import first_state, propose
from flq.errors import CodecError, FlqError
from flq.flags import TINY, Flags, within
from flq.training.models import model_layout
from flq.training.trainer import build_evaluator, build_trainer, check


class Round(NamedTuple):
    """What one round did; bits are those of the payloads, the downlink's one copy per worker."""

    index: int
    server: ServerState
    uploaded: List[int]
    skipped: List[int]
    refused: List[int]
    loss: float
    bits_up: int
    bits_down: int


def federate(settings: Dict[str, Dict[str, Any]]) -> Iterator[Round]:
    """Train; yield after each round."""
    seed, n_rounds = settings["system"]["seed"], settings["system"]["max_rounds"]
    everyone = range(settings["system"]["total_workers"])
    rules, layout = rules_from_settings(settings), model_layout(settings)

    # Both ends make the same start from the seed, so that nothing is sent: x^0 = w^0.
    server = server_round.first_server_state(start_values(layout, seed))
    trainers = [build_trainer(settings, m) for m in everyone]
    n_samples = {m: trainers[m].n_samples for m in everyone}

    states = {m: first_state(layout, rules) for m in everyone}  # memories and lazy clocks, at the workers
    mirrors = {}                                                # with memory mirror: g_m, at the master
    passed_over = {}                                            # rounds in a row without a grant

    for k in range(1, n_rounds + 1):
        threshold = server_round.threshold(server, rules)  # S: what the model has moved of late

        # Every worker trains on w and decides whether it has anything to say.
        proposals, losses = {}, {}
        for m in everyone:
            local = trainers[m].local_update(server.shared, k)
            proposals[m] = propose(states[m], local.update, k, threshold, layout, rules)
            losses[m] = local.loss
        talking = [m for m in everyone if proposals[m].payload is not None]

        # If bits are scarce, the workers with the most energy per bit get them.
        granted = talking
        if rules.needs_offers:
            offers = [budget.Offer(m, proposals[m].energy, 8 * proposals[m].payload.size) for m in talking]
            granted = budget.grant(offers, passed_over, rules)
            for m in talking:
                passed_over[m] = 0 if m in granted else passed_over.get(m, 0) + 1

        # Memories change only now that the outcome is known.
        uploads = {m: proposals[m].payload for m in granted}
        for m in everyone:
            states[m] = proposals[m].if_applied if m in granted else proposals[m].if_not
            if rules.memory == "mirror" and m in granted:
                mirrors[m] = states[m].memory  # the master adds the same decoded numbers: the same bits

        # G = sum of w_m D(upload_m), or of w_m g_m over all mirrors, silent workers' too; then scaled
        # by the number of uploads and clipped, where that is asked for.
        total = server_round.aggregate(n_samples, {} if rules.memory == "mirror" else uploads, mirrors, layout, rules)

        # x := x - server_lr G, and w := w + D(C(x - w)).
        server, delta = server_round.close_round(server, total, layout, rules)

        yield Round(k, server, uploaded=granted, skipped=[m for m in everyone if m not in talking],
                    refused=[m for m in talking if m not in granted],
                    loss=sum(n_samples[m] * losses[m] for m in everyone) / sum(n_samples.values()),
                    bits_up=sum(8 * payload.size for payload in uploads.values()),
                    bits_down=0 if delta is None else 8 * delta.size * len(everyone))


def settings_of(args: argparse.Namespace) -> Dict[str, Dict[str, Any]]:
    """Turn the flags into the sections of flq_config.json."""
    return {
        "system": {"total_workers": args.M, "max_rounds": args.iters, "seed": args.seed,
                   "deterministic": True, "threads": args.threads},
        "dataset": {"name": args.dataset, "batch_size": args.batch, "partition": args.partition,
                    "dir_alpha": args.dir_alpha, "data_dir": args.data_dir},
        "model": {"name": args.model, "lr": args.lr, "l2": args.cl, "local_epochs": args.local_epochs,
                  "local_steps": args.local_steps, "server_lr": args.server_lr, "dim": args.dim},
        "flq_algorithm": {"mode": args.mode, "b_up": args.b, "b_down": args.b_down, "memory": args.memory,
                          "scale_by_selected": bool(args.scale_by_selected), "sel_ref": args.sel_ref,
                          "clip_global": args.clip_global},
        "lazy_selection": {"D": args.D, "ck": args.ck, "C": args.C, "warmup": args.warmup,
                           "thr_scale": args.thr_scale},
        "budget_selection": {"sel_clients": args.sel_clients, "up_budget_bits": args.up_budget_bits},
    }


def parse_flags(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line; the names are the original's, the ranges those of flq_config.json."""
    flags = Flags(prog="flq_fed_v3.py", description="FLQ in one process: the readable reference.",
                  formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    flags.add_argument("--dataset", default="digits")
    flags.add_argument("--data_dir", default=None, help="where the data set's files are")
    flags.add_argument("--model", default="mlp", help="mlp, cnn_small or quadratic")
    flags.add_argument("--dim", type=within(int, 4, 1e9), default=1000, help="number of parameters of quadratic")
    flags.add_argument("--M", type=within(int, 1, 4096), default=4, help="number of workers")
    flags.add_argument("--iters", type=within(int, 1, 1e9), default=30, help="number of rounds")
    flags.add_argument("--batch", type=within(int, 1, 1e6), default=32, help="samples of a minibatch")
    flags.add_argument("--lr", type=within(float, TINY, 1e6), default=0.1, help="step of the local SGD")
    flags.add_argument("--cl", type=within(float, 0, 1e6), default=0.0,
                       help="L2 penalty: cl/2 |v|^2 over all variables")
    flags.add_argument("--local_epochs", type=within(int, 0, 1e6), default=1,
                       help="passes over the data in a round")
    flags.add_argument("--local_steps", type=within(int, 0, 1e6), default=0,
                       help="minibatches instead of epochs; 0 = epochs")
    flags.add_argument("--server_lr", type=within(float, TINY, 1e6), default=1.0,
                       help="step of the master; 1 is averaging")
    flags.add_argument("--seed", type=within(int, 0, 2 ** 63 - 1), default=42, help="fixes all randomness")
    flags.add_argument("--threads", type=within(int, 1, 1024), default=1,
                       help="TensorFlow's threads: part of what fixes the bits")
    flags.add_argument("--partition", choices=("iid", "non_iid"), default="iid")
    flags.add_argument("--dir_alpha", type=within(float, 1e-6, 1e6), default=0.5,
                       help="Dirichlet concentration of non_iid")
    flags.add_argument("--mode", choices=MODES, default="bbit")
    flags.add_argument("--b", type=within(int, 1, 8), default=4, help="bits per parameter up, 1..8; mode bin is 1")
    flags.add_argument("--b_down", type=within(int, 0, 32), default=None,
                       help="bits down, 0 or 32 = float32 (default: as up)")
    flags.add_argument("--memory", choices=MEMORIES, default=None, help="(default: the mode's)")
    flags.add_argument("--up_budget_bits", type=within(int, 0, 1e15), default=0,
                       help="payload bits that a round may spend; 0 = any")
    flags.add_argument("--sel_clients", type=within(int, 0, 4096), default=0,
                       help="uploads that a round may have; 0 = any")
    flags.add_argument("--thr_scale", type=within(float, 0, 1e6), default=None,
                       help="factor of the lazy threshold, 0 = never skip (default: 1 with memory mirror, else 0)")
    flags.add_argument("--warmup", type=within(int, 0, 1e9), default=0, help="rounds without skips")
    flags.add_argument("--C", type=within(int, 0, 1e9), default=50, help="most rounds in a row without an upload")
    flags.add_argument("--D", type=within(int, 1, 10000), default=10,
                       help="past aggregates that the lazy threshold looks at")
    flags.add_argument("--ck", type=within(float, 0, 1e6), default=0.8, help="their total weight")
    flags.add_argument("--scale_by_selected", type=int, choices=(0, 1), default=0,
                       help="1: multiply the aggregate by the round's number of uploads / sel_ref")
    flags.add_argument("--sel_ref", type=within(int, 1, 4096), default=1, help="see scale_by_selected")
    flags.add_argument("--clip_global", type=within(float, 0, 1e9), default=0.0,
                       help="largest Euclidean norm of the aggregate; 0 = any")
    args = flags.parse_args(argv)
    if args.local_epochs == args.local_steps == 0:
        flags.error("argument --local_steps: must be > 0 when --local_epochs is 0, got 0")
    return args


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Train, and print a line per round."""
    settings = settings_of(parse_flags(argv))
    rules_from_settings(settings)
    check(settings)  # what can not work is said before TensorFlow starts, which takes seconds
    evaluator = build_evaluator(settings)
    bits_up = bits_down = 0
    for done in federate(settings):
        result = evaluator.evaluate(done.server.model)
        bits_up, bits_down = bits_up + done.bits_up, bits_down + done.bits_down
        accuracy = "" if result.accuracy is None else " accuracy=%.4f" % result.accuracy
        print("round=%d%s test_loss=%.6g loss=%.6g uploaded=%d skipped=%d refused=%d bits_up=%d bits_down=%d"
              % (done.index, accuracy, result.loss, done.loss, len(done.uploaded), len(done.skipped),
                 len(done.refused), bits_up, bits_down), flush=True)
    return 0


def main_in_sentences(argv: Optional[Sequence[str]] = None) -> int:
    """Run :func:`main`; whatever goes wrong is one sentence, and 1, or 2 for settings that can not be used."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # whoever encodes finds out
            return main(argv)
    except CodecError as error:
        code, sentence = 1, "the training has diverged: %s; lower --lr or --server_lr" % error
    except FlqError as error:
        code, sentence = 2, str(error)
    except KeyboardInterrupt:
        code, sentence = 130, "stopped"
    except Exception as error:  # TensorFlow raises what it likes
        code, sentence = 1, "%s: %s" % (type(error).__name__, (str(error) or "no message").splitlines()[0])
    print("flq_fed_v3.py: %s" % sentence, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main_in_sentences())
