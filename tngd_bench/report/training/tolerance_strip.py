"""The strip of tolerances: every imperfection on one axis from mild to harsh, and devices of the study's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.patches import Patch, Rectangle

from tngd_bench.analysis import quantities
from tngd_bench.analysis.findings.noise import scored_tolerances
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.setting_names import parameter_name, value_text
from tngd_bench.analysis.training.device_pairs import INSIDE, OUTSIDE, device_pairs
from tngd_bench.analysis.training.sweep_kinds import without_scale
from tngd_bench.analysis.training.tolerance import is_imperfection
from tngd_bench.report.document import charting
from tngd_bench.report.document.charting import Chart, Look
from tngd_bench.report.document.figures import figure_of
from tngd_bench.report.document.palette import DIGITAL, MUTED, WRITE
from tngd_bench.studies.store import columns as c

_CELLS = 7
"""Cells side by side; a longer sweep has narrower ones."""
_LOOKS: dict[str, tuple[str, Look]] = {
    "inside": ("✓ no worse than ideal", {"facecolor": DIGITAL.light, "alpha": 0.35}),
    "undecided": ("? not decided", {"facecolor": "none"}),
    "outside": ("✗ worse", {"facecolor": WRITE.light, "alpha": 0.45}),
}


@dataclass(frozen=True)
class _Row:
    """A row of the strip: its heading, cells of text and verdict from mild to harsh, and what the ideal device reached.

    `about` are its columns in the data.
    """

    heading: str
    cells: tuple[tuple[str, str], ...]
    ideal: str
    about: dict[str, object]


def _rows(results: Results) -> Iterator[_Row]:
    final = results.final[~without_scale(results.final)]
    for each in scored_tolerances(final):
        both, infos = each.both, results.infos
        if is_imperfection(both.parameter):
            judged = both if each.score is None else each.score
            cells = [
                (f"{value_text(both.parameter, row.level)}{_diverged(row)}", str(row.verdict))
                for row in c.each(both.levels)
            ]
            about = {"imperfection": both.parameter, c.OPTIMIZER: both.optimizer, c.GROUP: both.group}
            ideal = both.note or f"ideal {quantities.metric(judged.ideal, judged.score.metric)}"
            heading = f"{parameter_name(both.parameter)}, {infos[both.optimizer].title}"
            where = f" ({both.problem}, N = {quantities.count(both.size)}, {both.seeds} seeds)"
            yield _Row(heading + where, tuple(cells), ideal, about)
    verdicts = {INSIDE: "inside", OUTSIDE: "outside"}
    for pair in device_pairs(results.trials, final):
        shown = [score for score in pair.scores if score.score.metric.share] or list(pair.scores)
        reached = (
            quantities.metric(shown[-1].own, shown[-1].score.metric) if shown else quantities.NOT_MEASURED
        )
        ideal = f"ideal {quantities.metric(shown[-1].ideal, shown[-1].score.metric)}" if shown else pair.note
        about = {"imperfection": c.DEVICE, c.OPTIMIZER: pair.optimizer, c.GROUP: pair.group}
        heading = (
            f"{results.infos[pair.optimizer].title} ({pair.problem}, N = {quantities.count(pair.size)}, "
        )
        cell = reached, verdicts.get(pair.verdict, "undecided")
        yield _Row(f"{heading}{pair.seeds} seeds)", (cell,), ideal, about)


def _diverged(row: Any) -> str:
    return f" ({row.diverged}/{row.seeds} ✕)" if row.diverged else ""


@figure_of("tolerance", "how good the chip must be")
def tolerance_chart(results: Results) -> Chart | None:
    """Draw all imperfections that were swept, and imperfect devices beside the ideal one, on one axis."""
    rows = list(_rows(results))
    if not rows:
        return None
    figure, axes = charting.panel(0.42 * len(rows) + 0.7)
    for place, row in enumerate(rows):
        y, width = -1.0 * place, 1.0 / max(_CELLS, len(row.cells))
        axes.text(0.0, y + 0.3, row.heading, fontsize=8, va="bottom")
        axes.text(1.0, y + 0.3, row.ideal.partition(":")[0], fontsize=8, va="bottom", ha="right")
        for number, (text, verdict) in enumerate(row.cells):
            label, look = _LOOKS[verdict]
            frame: Look = {"edgecolor": MUTED.light, "linewidth": 0.8, **look}
            axes.add_patch(Rectangle((number * width, y - 0.25), width, 0.5, **frame))
            axes.text((number + 0.5) * width, y, f"{label[0]} {text}", fontsize=7.5, ha="center", va="center")
    axes.set(xlim=(0.0, 1.0), ylim=(-len(rows) + 0.6, 0.9))
    axes.set_axis_off()
    handles = [Patch(edgecolor=MUTED.light, **look, label=label) for label, look in _LOOKS.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    told = "; ".join(
        f"{row.heading}: {', '.join(f'{text} {_LOOKS[verdict][0][2:]}' for text, verdict in row.cells) or row.ideal}"
        for row in rows
    )
    data = [
        row.about | {"level": text, "verdict": verdict, "ideal": row.ideal}
        for row in rows
        for text, verdict in row.cells
    ]
    return Chart(
        "tolerance-strip",
        "Imperfections, each from mild to harsh",
        f"Training on an imperfect device beside the ideal one, same seeds. {told}.",
        "A level is no worse if it and every milder one lose less than a margin fixed beforehand against the ideal "
        "device on the same seed, in loss and in the test score (exact signed-rank test, p ≤ 5 %). Right: what the "
        "ideal device reached. ✕: seeds that diverged. A row with one cell is a device of the study with what it "
        "reached.",
        figure,
        pd.DataFrame(data, columns=["imperfection", c.OPTIMIZER, c.GROUP, "level", "verdict", "ideal"]),
    )
