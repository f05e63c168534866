"""The one factory of settings for tests."""

from functools import partial

from flq.core.settings import Settings

SECTION_OF = {key: name for name, section in Settings()._asdict().items() for key in section._fields if key != "name"}  # type: dict
SECTION_OF["name"] = "model"


def settings_with(settings=Settings(), **values):  # noqa: B008 (a tuple of tuples)
    """Return settings with some keys replaced, in any section.

    ``dataset`` is the name of the data set, ``name`` that of the model.
    """
    if "dataset" in values:
        settings = settings._replace(dataset=settings.dataset._replace(name=values.pop("dataset")))
    for key, value in values.items():
        section = getattr(settings, SECTION_OF[key])
        settings = settings._replace(
            **{SECTION_OF[key]: section._replace(**{key: tuple(value) if isinstance(value, list) else value})}
        )
    return settings


# A run on the quadratic problem, which needs no TensorFlow.
quadratic_with = partial(settings_with, settings_with(name="quadratic", max_rounds=12, mode="bbit"))
