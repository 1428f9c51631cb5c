"""Finals of a search: its best few settings again, for the whole training, on new seeds.

The best of many tries on one seed and a part of the training is best partly by luck: on MNIST a setting of NGD-Gram won
the search, and failed on three of five seeds in ten epochs.
"""

from __future__ import annotations

import dataclasses

import pandas as pd

from tngd_bench.studies.file.reading import LoadedStudy
from tngd_bench.studies.tuning.results import finalists, larger_is_better
from tngd_bench.studies.tuning.search_study import Search

_SUFFIX = "-finals"
_NAME_LENGTH = 60


def make_finals(search: Search, tries: pd.DataFrame) -> LoadedStudy | None:
    """Return the study of the search with its finals, given its `tries`; None where there is nothing to decide.

    The finalists are the `tuning.finalists` best tries of each optimizer. An optimizer with one finalist has nothing
    to decide and is left out.
    """
    larger = larger_is_better(dataclasses.asdict(search.loaded.study))
    labels = []
    for contender in search.contenders:
        best = finalists(tries[tries["optimizer"] == contender.method], search.tuning.finalists, larger)
        labels += list(best["label"]) if len(best) > 1 else []
    return _with_finals(search, labels) if labels else None


def expected(search: Search) -> LoadedStudy:
    """Return the search with its finals, for a plan: the finalists are not known yet, so the first tries stand in."""
    number = search.tuning.finalists
    labels = [label for each in search.contenders for label in each.labels[:number] if len(each.labels) > 1]
    return _with_finals(search, labels) if labels and number > 1 else search.loaded


def _with_finals(search: Search, labels: list[str]) -> LoadedStudy:
    study = search.loaded.study
    (section,) = study.training
    finals = dataclasses.replace(
        section,
        name=section.name[: _NAME_LENGTH - len(_SUFFIX)] + _SUFFIX,
        optimizers=tuple(labels),
        epochs=search.section.epochs,
        seeds=search.tuning.final_seeds,
        first_seed=search.tuning.seeds,
    )
    return dataclasses.replace(search.loaded, study=dataclasses.replace(study, training=(section, finals)))
