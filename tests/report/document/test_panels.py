"""Figures of training stay readable: what a section trained beyond a figure's lines is drawn apart, and not lost."""

from types import SimpleNamespace

import pandas as pd

from tngd_bench.analysis.families import optimizer_infos
from tngd_bench.report.document.panels import MOST_LINES, line_groups, main_trials

PLAIN = ["sgd", "adam", "kfac", "ngd-gram", "tngd"]
MANY = [
    *PLAIN,
    *["adam[tuned]", "tngd[tuned]"],
    *["tngd[analog_time=5]", "tngd[analog_time=20]", "tngd[analog_time=10]"],
    *["tngd[analog_time=5, delay=1]", "tngd[analog_time=5, delay=0.2]"],
]


def trials(labels, group="training"):
    rows = [
        {
            "kind": "training",
            "group": group,
            "optimizer": label,
            "method": label.partition("[")[0],
            "device": None,
        }
        for label in labels
    ]
    return pd.DataFrame(rows)


def test_few_optimizers_share_one_figure():
    labels = [*PLAIN, "tngd[delay=1]"]
    (only,) = line_groups(optimizer_infos(trials(labels)), labels)
    assert set(only.labels) == set(labels)
    assert only.words == ""


def test_settings_beyond_the_studys_own_and_tuned_ones_have_figures_of_what_they_change():
    main, times, delays = line_groups(optimizer_infos(trials(MANY)), MANY)
    assert set(main.labels) == {*PLAIN, "adam[tuned]", "tngd[tuned]"}
    assert times.labels == ("tngd", "tngd[analog_time=5]", "tngd[analog_time=10]", "tngd[analog_time=20]")
    assert times.words == "TNGD with other t"
    # a delay starts from what has none
    assert delays.labels == (
        *("tngd", "tngd[analog_time=5]"),
        *("tngd[analog_time=5, delay=0.2]", "tngd[analog_time=5, delay=1]"),
    )
    assert delays.words == "TNGD with other t and t_d"


def test_nothing_is_left_out_and_every_figure_can_be_read():
    groups = line_groups(optimizer_infos(trials(MANY)), MANY)
    assert {label for group in groups for label in group.labels} == set(MANY)
    assert all(len(group.labels) <= MOST_LINES for group in groups)


def test_a_method_that_is_never_at_its_own_settings_is_in_the_main_figure_once():
    labels = [f"tngd[analog_time={time}]" for time in range(1, 12)]
    main, others = line_groups(optimizer_infos(trials(labels)), labels)
    assert main.labels == ("tngd[analog_time=1]",)
    assert len(others.labels) == len(labels) - 1


def test_the_main_figure_is_chosen_section_by_section():
    frame = pd.concat([trials(MANY), trials(["tngd", "tngd[delay=1]"], "other")], ignore_index=True)
    shown = main_trials(SimpleNamespace(trials=frame, infos=optimizer_infos(frame), of_kind=lambda _: frame))
    assert (shown["group"] == "other").sum() == (frame["group"] == "other").sum()
    assert set(frame.drop(shown.index)["optimizer"]) == {label for label in MANY if "=" in label}
