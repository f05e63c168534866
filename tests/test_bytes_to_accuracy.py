"""The table of benchmarks/bytes_to_accuracy: when an accuracy is reached, and the content of a file."""

import json

import pytest

from benchmarks.bytes_to_accuracy.recipes import COMMON, RECIPES, recipe_of
from benchmarks.bytes_to_accuracy.runs import Job, run
from benchmarks.bytes_to_accuracy.table import NEVER, gather, hit, table
from flq.config_file import load_config

ACCURACIES = (0.70, 0.81, 0.79, 0.80, 0.82)


def rows_of(accuracies, frame_bytes=1000):
    """Return rounds in the form of a file: ``frame_bytes`` each way and two exchanges per round."""
    return [
        {
            "round": k,
            "up": k * frame_bytes,
            "down": k * frame_bytes,
            "exchanges": 2 * k,
            "samples": 50 * k,
            "test_accuracy": accuracy,
            "val_accuracy": accuracy,
            "mean_test_accuracy": accuracy,
            "mean_val_accuracy": accuracy,
        }
        for k, accuracy in enumerate(accuracies, start=1)
    ]


def write(folder, name, seed, mode, rows):
    lines = [{"recipe": name, "seed": seed, "alpha": 0.1, "mode": mode, "overrides": ["lr=0.1"]}] + rows
    (folder / ("%s%d.jsonl" % (name, seed))).write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_first_hit_is_one_round_and_a_steady_one_the_mean_of_three():
    rows = rows_of(ACCURACIES)
    assert hit(rows, "test_accuracy", 0.80, 1, http=10) == (2, 4040, 100)
    assert hit(rows, "test_accuracy", 0.80, 3, http=10) == (4, 8080, 200)
    assert hit(rows, "test_accuracy", 0.83, 1, http=10) == (NEVER, NEVER, NEVER)
    assert hit(rows, "of_an_average_that_is_not_kept", 0.1, 3, http=10) == (NEVER, NEVER, NEVER)


def test_a_table_holds_the_median_over_the_seeds_and_the_ratio_to_the_best_float32(tmp_path):
    for seed, frame_bytes in ((1, 1000), (2, 3000), (3, 2000)):
        write(tmp_path, "coded", seed, "bbit", rows_of(ACCURACIES, frame_bytes))
    write(tmp_path, "whole", 1, "fedavg", rows_of(ACCURACIES, 20000))
    summaries = gather(str(tmp_path), http=0, alpha=0.1)
    coded = [one for one in summaries if one["recipe"] == "coded"][0]
    assert coded["hits"]["test_first_80"]["mb"] == pytest.approx(0.008)
    assert coded["hits"]["test_first_80"]["mb_by_seed"] == [0.004, 0.012, 0.008]
    assert coded["hits"]["test_first_88"]["mb"] is None
    assert "2r 0.008 (10x) / 4r 0.016 (10x)" in table(summaries, "")


def test_a_recipe_that_is_reached_by_a_minority_of_seeds_is_not_reached(tmp_path):
    for seed, accuracies in ((1, ACCURACIES), (2, (0.5, 0.6)), (3, (0.5, 0.6))):
        write(tmp_path, "coded", seed, "bbit", rows_of(accuracies))
    assert gather(str(tmp_path), http=0, alpha=0.1)[0]["hits"]["test_first_80"]["mb"] is None


def test_an_existing_file_is_kept_and_rejected_for_other_settings(tmp_path):
    job = Job("mine", recipe_of("mine", ["lr=0.1"]), 1, 0.1, 2.0, str(tmp_path))
    write(tmp_path, "mine__alpha0.1__seed", 1, "fedavg", rows_of(ACCURACIES))
    assert "5 rounds" in run(job)
    assert "other settings" in run(job._replace(recipe=recipe_of("mine", ["lr=0.2"])))


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_is_a_configuration(name):
    settings = load_config(None, COMMON + RECIPES[name].overrides)
    assert (settings.model.name, settings.system.total_workers) == ("cnn_small", 10)


def test_a_changed_recipe_keeps_its_other_settings():
    recipe = recipe_of("fedavg E2", ["lr=0.2"])
    assert "lr=0.2" in recipe.overrides and "lr=0.1" not in recipe.overrides and "local_epochs=2" in recipe.overrides
