"""The seam: which engine is behind a model's name, and who may ask for one."""

import pytest

from flq.errors import DataError
from flq.training.models import MODELS
from flq.training.trainer import ENGINES, build_evaluator, build_trainer


def test_every_model_has_an_engine():
    assert sorted(ENGINES) == sorted(MODELS)


@pytest.mark.parametrize("worker_id", [-1, 4])
def test_worker_ids_outside_the_run_are_refused(make_settings, worker_id):
    with pytest.raises(DataError, match=r"worker_id must be in 0\.\.3, got %d" % worker_id):
        build_trainer(make_settings(name="quadratic"), worker_id)


@pytest.mark.parametrize("build", [build_evaluator, lambda settings: build_trainer(settings, 0)])
def test_unknown_model_is_refused_by_name(make_settings, build):
    with pytest.raises(DataError, match="model.name must be one of cnn_small, mlp, quadratic, got 'mlpp'"):
        build(make_settings(name="mlpp"))
