"""The strip of tolerances: every imperfection on one axis from mild to harsh, and devices of the study's own."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from matplotlib.patches import Patch, Rectangle

from tngd_bench.analysis import quantities
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.setting_names import parameter_name, value_text
from tngd_bench.analysis.training.device_pairs import INSIDE, OUTSIDE, trained_on
from tngd_bench.analysis.training.tolerance import is_imperfection
from tngd_bench.report.document import charting
from tngd_bench.report.document.charting import Chart, Look
from tngd_bench.report.document.figures import figure_of
from tngd_bench.report.document.palette import DIGITAL, MUTED, WRITE
from tngd_bench.studies.store import columns as c

_FEWEST_CELLS = 5
"""Cells that fit side by side at least; the longest sweep makes them narrower."""
_ROW_INCHES, _NOTE_INCHES, _HEADING_INCHES, _WHERE_INCHES = 0.58, 0.38, 0.15, 0.13
_HEADING_CHARACTERS, _WHERE_CHARACTERS = 72, 82
"""Of a line; what is longer is set on several."""
_LOOKS: dict[str, tuple[str, Look]] = {
    "inside": ("✓ no worse than ideal", {"facecolor": DIGITAL.light, "alpha": 0.35}),
    "undecided": ("? not decided", {"facecolor": "none"}),
    "outside": ("✗ worse", {"facecolor": WRITE.light, "alpha": 0.45}),
}


@dataclass(frozen=True)
class _Row:
    """A row of the strip: heading, where it was measured, and cells of text and verdict from mild to harsh.

    `about` are its columns in the data.
    """

    heading: str
    where: str
    cells: tuple[tuple[str, str], ...]
    about: dict[str, str]


def _rows(results: Results) -> Iterator[_Row]:
    infos = results.infos
    undecided: dict[tuple[str, str], int] = {}
    for each in results.scored_tolerances:
        both, judged = each.both, each.score or each.both
        name = parameter_name(both.parameter)
        if is_imperfection(both.parameter) and both.note:
            undecided[name, both.note] = undecided.get((name, both.note), 0) + 1
        elif is_imperfection(both.parameter):
            cells = tuple(
                (f"{value_text(both.parameter, row.level)}{'*' if row.diverged else ''}", str(row.verdict))
                for row in c.each(both.levels)
            )
            ideal = f"{quantities.metric(judged.ideal, judged.score.metric)} {judged.score.title}"
            about = {
                "imperfection": both.parameter,
                c.OPTIMIZER: both.optimizer,
                c.GROUP: both.group,
                "ideal": quantities.metric(judged.ideal, judged.score.metric),
            }
            yield _Row(
                f"{name}, {infos[both.optimizer].title}",
                f"{trained_on(both)}, ideal {ideal}",
                cells,
                about,
            )
    verdicts = {INSIDE: "inside", OUTSIDE: "outside"}
    for pair in results.device_pairs:
        for score in pair.scores[-1:]:
            own, ideal = (quantities.metric(value, score.score.metric) for value in (score.own, score.ideal))
            about = {
                "imperfection": c.DEVICE,
                c.OPTIMIZER: pair.optimizer,
                c.GROUP: pair.group,
                "ideal": ideal,
            }
            cell = f"{own}{'*' if pair.diverged else ''}", verdicts.get(pair.verdict, "undecided")
            model = trained_on(pair, seeds=not pair.note)  # a note has them
            where = "; ".join(filter(None, (f"{model}, ideal {ideal} {score.score.title}", pair.note)))
            yield _Row(infos[pair.optimizer].title, where, (cell,), about)
    by_note: dict[str, list[str]] = {}
    for (name, note), number in undecided.items():
        by_note.setdefault(note, []).append(name + (f" ({number} settings)" if number > 1 else ""))
    yield from (_Row(", ".join(names), note, (), {}) for note, names in by_note.items())


def _cell_words(cell: tuple[str, str]) -> str:
    text, verdict = cell
    return f"{text} {_LOOKS[verdict][0][2:]}"


@figure_of("tolerance", "how good the chip must be")
def tolerance_chart(results: Results) -> Chart | None:
    """Draw all imperfections that were swept, and imperfect devices beside the ideal one, on one axis."""
    rows = list(_rows(results))
    if not rows:
        return None
    headings = [charting.folded(row.heading, _HEADING_CHARACTERS) for row in rows]
    places = [charting.folded(row.where, _WHERE_CHARACTERS) for row in rows]
    further = [
        (heading.count("\n") * _HEADING_INCHES, place.count("\n") * _WHERE_INCHES)
        for heading, place in zip(headings, places, strict=True)
    ]
    heights = [
        (_ROW_INCHES if row.cells else _NOTE_INCHES) + sum(more)
        for row, more in zip(rows, further, strict=True)
    ]
    figure, axes = charting.panel(sum(heights) + 0.6)
    top, width = 0.0, 1.0 / max(_FEWEST_CELLS, *(len(row.cells) for row in rows))
    for row, heading, place, more, height in zip(rows, headings, places, further, heights, strict=True):
        axes.text(0.0, top, heading, fontsize=8.5, va="top")
        axes.text(0.0, top + more[0] + 0.15, place, fontsize=7.5, va="top", color=MUTED.light)
        top, height = top + sum(more), height - sum(more)
        for number, (text, verdict) in enumerate(row.cells):
            label, look = _LOOKS[verdict]
            frame: Look = {"edgecolor": MUTED.light, "linewidth": 0.8, **look}
            axes.add_patch(Rectangle((number * width, top + 0.29), width, 0.2, **frame))
            middle = (number + 0.5) * width, top + 0.39
            axes.text(*middle, f"{label[0]} {text}", fontsize=7.5, ha="center", va="center")
        top += height
    axes.set(xlim=(0.0, 1.0), ylim=(top, -0.05))
    axes.set_axis_off()
    handles = [Patch(edgecolor=MUTED.light, **look, label=label) for label, look in _LOOKS.values()]
    if any(row.cells for row in rows):
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    told = "; ".join(
        ": ".join(filter(None, (f"{row.heading} ({row.where})", ", ".join(map(_cell_words, row.cells)))))
        for row in rows
    )
    data = [row.about | {"level": text, "verdict": verdict} for row in rows for text, verdict in row.cells]
    return Chart(
        "tolerance-strip",
        "Imperfections, each from mild to harsh",
        f"Training at levels of an imperfection beside the ideal level, same seeds. {told}.",
        "A level is no worse if it and every milder one lose less than a margin fixed beforehand. Beside it stands the "
        "ideal level on the same seed, that of a device without this imperfection. Judged are the loss and the test "
        "score (exact signed-rank test, p ≤ 5 %). *: some seeds diverged. One cell alone is a device of the study, "
        "with what it reached.",
        figure,
        pd.DataFrame(data, columns=["imperfection", c.OPTIMIZER, c.GROUP, "level", "verdict", "ideal"]),
    )
