"""The comparison of two stores as a page and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.compare import TwoStores, compare
from tngd_bench.analysis.families import Infos, optimizer_infos
from tngd_bench.analysis.results import Results
from tngd_bench.atomic_write import write
from tngd_bench.problems import registered_metrics
from tngd_bench.report.claims.verdict_comparison import (
    compared_verdicts,
    verdict_comparison_section,
    verdict_words,
)
from tngd_bench.report.document import charting, scales, tables
from tngd_bench.report.document.charting import Chart, MissingFigure
from tngd_bench.report.document.figures import charts_of, figure_of
from tngd_bench.report.document.palette import INK, Mark, marks
from tngd_bench.report.document.section import Section, missing_words
from tngd_bench.report.document.tables import (
    COUNTED,
    MEASURED,
    SECTION,
    TOTAL,
    Cell,
    Column,
    Table,
    number,
    words,
)
from tngd_bench.report.render import markdown, page
from tngd_bench.report.render.manifest import replace_manifest
from tngd_bench.report.render.section_files import write_sections
from tngd_bench.studies.store.records import Records

TITLE = "Two stores side by side"


def build_comparison(
    a: Records, b: Records, names: tuple[str, str], output: Path
) -> tuple[Path, Path, tuple[tuple[str, str], ...], tuple[MissingFigure, ...]]:
    """Write `compare.html` and `compare.md` with their figures and data into `output`.

    Returns the two paths, the headlines and the figures that could not be drawn. `names` are what the stores are called
    on the page. OSError if `output` cannot be written.
    """
    both = Results(a), Results(b)
    found = compare(*both)
    infos = optimizer_infos(pd.concat([a.trials, b.trials], ignore_index=True))
    verdicts = compared_verdicts(*both)
    with charting.style():
        sections = comparison_sections(found, infos, marks(infos))
    first = (("Compared", f"A is {names[0]}, B is {names[1]}."), *headlines(found, infos))
    if verdicts:
        sections = (verdict_comparison_section(verdicts, infos), *sections)
        first = (first[0], ("Claims", verdict_words(verdicts)), *first[1:])
    parts = write_sections(sections, output)
    if parts.missing:
        first = (*first, ("Missing", missing_words(parts.missing)))
    version = str(b.study.get("version", "not stated"))
    text = page.render_page(
        first, parts.sections, parts.drawings, title=TITLE, name="compare", version=version
    )
    html = write(output / "compare.html", text.encode())
    command = f"tngd-bench compare {names[0]} {names[1]}"
    told = markdown.markdown(TITLE, first, parts.sections, command, version)
    md = write(output / "compare.md", told.encode())
    replace_manifest(output, [*parts.figures, *parts.data, html, md])
    return html, md, first, parts.missing


def headlines(found: TwoStores, infos: Infos) -> tuple[tuple[str, str], ...]:
    """Return what differs, in cost, training and conditions: a term and a sentence each."""
    return (
        ("Cost", _cost_words(found.costs)),
        ("Training", _training_words(found.training)),
        ("Conditions", _conditions(found)),
    )


def _cost_words(costs: pd.DataFrame) -> str:
    if costs.empty:
        return "No cost was measured at a setting that both stores hold."
    middle = float(costs["ratio"].median())
    text = (
        f"Of {len(costs)} shared settings the median ratio B/A in seconds is {quantities.significant(middle)}×, in "
        "which the hour of each run counts."
    )
    relative = costs[costs["relative_low"].notna() & (costs["optimizer"] != costs["reference"])]
    if len(relative):
        up, down = int((relative["relative_low"] > 1).sum()), int((relative["relative_high"] < 1).sum())
        text += (
            f" Relative to SGD in the same store, of {len(relative)} settings B is slower in {up} and faster in {down} "
            "(95 % intervals with the spread from run to run)."
        )
    else:
        text += " Relative to SGD: not tested, as that takes three processes of each."
    changed = costs[
        (costs["a_flops"] != costs["b_flops"]) & costs["a_flops"].notna() & costs["b_flops"].notna()
    ]
    counted = int((costs["a_flops"].notna() & costs["b_flops"].notna()).sum())
    return f"{text} Counted operations differ in {len(changed)} of {counted}."


def _training_words(training: pd.DataFrame) -> str:
    if training.empty:
        return "No training run is shared."
    pairs, equal = int(training["pairs"].sum()), int(training["equal"].sum())
    lower = int(training["b_lower"].sum())
    return (
        f"{pairs} pairs of equal setting and seed: final loss equal to the bit in {equal}, lower in B in {lower}, "
        f"higher in {pairs - equal - lower}. Diverged: {int(training['a_diverged'].sum())} in A, "
        f"{int(training['b_diverged'].sum())} in B."
    )


def _conditions(found: TwoStores) -> str:
    environment = found.differences[found.differences["where"] == "environment"]["name"]
    study = found.differences[found.differences["where"] == "study"]["name"]
    listed = ", ".join(environment[:8]) + (" …" if len(environment) > 8 else "")
    text = f"Environment: {_differ(environment)} ({listed})." if len(environment) else "Same environment."
    same = _differ(study) if len(study) else "the same"
    first, second = found.run_spreads
    spread = first.words if first == second else f"{first.words} in A, {second.words} in B"
    return (
        f"{text} Study: {same}; {len(found.only)} setting{'s are' if len(found.only) != 1 else ' is'} in one store "
        f"only. Spread from run to run in intervals of cost: {spread}."
    )


def _differ(names: pd.Series) -> str:
    return "1 entry differs" if len(names) == 1 else f"{len(names)} entries differ"


def comparison_sections(found: TwoStores, infos: Infos, styles: Mapping[str, Mark]) -> tuple[Section, ...]:
    """Return the sections of a comparison; call it inside `charting.style()`."""
    nothing = "" if len(found.costs) else "No cost was measured at a setting that both stores hold."
    return (
        Section(
            "cost",
            "Cost, B relative to A",
            charts=charts_of("compare", Compared(found.costs, infos, styles)),
            tables=(_cost_table(found.costs, infos),),
            absent=nothing,
        ),
        Section(
            "training",
            "Training, paired by seed",
            tables=(_training_table(found.training, infos),),
            absent="" if len(found.training) else "No training run is shared.",
        ),
        Section(
            "differences",
            "What differs",
            tables=(
                _plain(
                    found.differences,
                    "differences",
                    "Entries of study and environment that differ; times of day are left out.",
                ),
                _plain(found.only, "only-in-one", "Measured in one store only."),
            ),
            absent="" if len(found.differences) or len(found.only) else "Nothing differs.",
        ),
    )


@dataclass(frozen=True)
class Compared:
    """The costs of two stores at the settings that both hold, with the optimizers and their marks."""

    costs: pd.DataFrame
    infos: Infos
    styles: Mapping[str, Mark]


@figure_of("compare", "time per iteration, B relative to A")
def compared_chart(both: Compared) -> Chart | None:
    """Draw the ratio of times per iteration, relative to SGD of the same store where it was timed."""
    costs, infos, styles = both.costs, both.infos, both.styles
    if costs.empty:
        return None
    figure, axes = charting.panel(4.2)
    related = costs["relative"].notna() & (costs["optimizer"] != costs["reference"])
    column = "relative" if related.any() else "ratio"
    shown = costs[related] if related.any() else costs
    present = [label for label in infos if label in set(shown["optimizer"])]
    for place, label in enumerate(present):
        own = shown[shown["optimizer"] == label]
        mark = styles[label]
        x = own["parameters"].to_numpy(float) * 1.06 ** (place - (len(present) - 1) / 2)
        y = own[column].to_numpy(float)
        low, high = (own[f"relative_{end}"].to_numpy(float) for end in ("low", "high"))
        spread = np.nan_to_num(np.stack([y - low, high - y]))  # no bar where no interval is known
        axes.errorbar(
            x,
            y,
            yerr=spread,
            linestyle="",
            marker=mark.marker,
            markersize=5,
            color=mark.colour.light,
            markerfacecolor=mark.colour.light if mark.filled else "none",
            elinewidth=1.0,
            label=infos[label].title,
        )
    axes.axhline(1.0, color=INK.light, linewidth=0.9)
    scales.log_counts(axes, "x")
    scales.log_ratios(axes, "y")
    axes.set_xlabel("parameters N")
    axes.set_ylabel("relative to SGD, B / A" if column == "relative" else "time per iteration, B / A")
    charting.legend_below(figure, axes)
    return Chart(
        "compare-cost",
        "Time per iteration, B relative to A",
        f"Ratio of median times per iteration against N. {_cost_words(costs)}",
        "Relative to SGD of the same store where it was timed, with 95 % intervals (Welch's over processes, and the "
        "spread from run to run); else the ratio of seconds, which has none. Total, measured digital + modelled "
        "device. Points of one N are drawn side by side.",
        figure,
        costs.reset_index(drop=True),
    )


def _cost_table(costs: pd.DataFrame, infos: Infos) -> Table:
    columns = (
        tables.optimizer_column(infos),
        SECTION,
        Column("N", lambda row: number(row.parameters)),
        Column("b · d_z", lambda row: Cell(row.batch_size, f"{row.batch_size} · {row.outputs}")),
        Column("A, median", lambda row: number(row.a_s, quantities.seconds), TOTAL),
        Column("B, median", lambda row: number(row.b_s, quantities.seconds), TOTAL),
        Column("B/A", lambda row: Cell(row.ratio, f"{quantities.significant(row.ratio)}×")),
        Column("B/A relative to SGD [95 %]", _relative),
        Column("A, FLOPs", lambda row: number(row.a_flops, quantities.significant), COUNTED),
        Column("B, FLOPs", lambda row: number(row.b_flops, quantities.significant), COUNTED),
    )
    caption = (
        "Time per iteration in both stores. The ratio of seconds has no interval, as it holds what the hour of either "
        "run did to the machine. Relative to SGD of the same store (tuned where it ran no other way) that cancels; "
        "95 % intervals with the spread from run to run."
    )
    return tables.table_of("compare-cost-table", caption, columns, costs)


def _relative(row: Any) -> Cell:
    if np.isnan(row.relative):
        return Cell(None, "–")
    if np.isnan(row.relative_low):
        return Cell(row.relative, f"{quantities.significant(row.relative)}× (untested)")
    return Cell(row.relative, quantities.ratio(row.relative, row.relative_low, row.relative_high))


def _training_table(training: pd.DataFrame, infos: Infos) -> Table:
    scores = {name: registered_metrics.of_column(name) for name in dict.fromkeys(training["score"])}
    several = len(scores) != 1
    scored = "test score" if several else next(iter(scores.values())).title

    def score(store: str) -> Callable[[Any], Cell]:
        def cell(row: Any) -> Cell:
            value, told = getattr(row, f"{store}_score"), scores[row.score]
            text = quantities.metric(value, told.metric)
            return Cell(value, f"{text} ({told.title})" if several else text)

        return cell

    columns = (
        tables.optimizer_column(infos),
        SECTION,
        words("problem", tables.size_text),
        words("level", _level),
        Column("paired seeds", lambda row: number(row.pairs, str)),
        Column("A, final loss", lambda row: number(row.a_loss, quantities.significant), MEASURED),
        Column("B, final loss", lambda row: number(row.b_loss, quantities.significant), MEASURED),
        Column("B − A, median of pairs", lambda row: number(row.difference, quantities.significant)),
        Column("B lower", lambda row: Cell(row.b_lower, f"{row.b_lower} of {row.pairs}")),
        Column("equal to the bit", lambda row: Cell(row.equal, f"{row.equal} of {row.pairs}")),
        Column("diverged, A · B", lambda row: Cell(row.a_diverged, f"{row.a_diverged} · {row.b_diverged}")),
        *(Column(f"{store}, {scored}", score(store.lower())) for store in "AB"),
    )
    caption = "How training ended in both stores, the same seed against itself; medians over seeds finished in both."
    return tables.table_of("compare-training-table", caption, columns, training)


def _level(row: Any) -> str:
    swept = not pd.isna(row.sweep_parameter)
    return f"{row.sweep_parameter} = {tables.level_text(row.sweep_value)}" if swept else "–"


def _plain(frame: pd.DataFrame, name: str, caption: str) -> Table:
    titles = [{"a": "A", "b": "B"}.get(str(title), str(title)) for title in frame.columns]
    rows = (tuple(map(str, row)) for row in frame.itertuples(index=False))
    return tables.text_table(name, caption, titles, rows, frame)
