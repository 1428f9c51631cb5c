"""Predicted seconds of a study's page: its start, and each of the figures that its sections lead to.

Measured on two cores: studies of 8, 20, 53 and 110 figures took 4.3, 8.1, 13.0 and 37.7 s.
"""

from __future__ import annotations

from tngd_bench.studies.file.schema import Study

START_S, FIGURE_S = 2.0, 0.28
_OF_TRAINING, _PROFILES, _OF_SWEEP, _OF_COST, _MAPS = 6, 2, 2, 4, 6


def figures_of(study: Study) -> int:
    """Return about how many figures a study's page has."""
    plain = [section for section in study.training if section.sweep is None]
    swept = [section for section in study.training if section.sweep is not None]
    number = _OF_TRAINING * len(plain) + (_PROFILES if plain else 0)
    number += sum(_OF_SWEEP * len(section.optimizers) for section in swept)
    return number + _OF_COST * len(study.cost) + (_MAPS if study.cost else 0)


def report_seconds(study: Study) -> float:
    """Return the predicted seconds of a study's page; 0 for a search for settings, which writes none."""
    if any(section.validation_share is not None for section in study.training):
        return 0.0
    return START_S + FIGURE_S * figures_of(study)
