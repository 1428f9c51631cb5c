"""Sweeps that are no single scale: two imperfections at once as heat maps, and levels that are words as a table."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Patch, Rectangle

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.setting_names import axis_title, parameter_name
from tngd_bench.analysis.training.final_scores import leading
from tngd_bench.analysis.training.stability import margins
from tngd_bench.analysis.training.sweep_kinds import without_scale
from tngd_bench.analysis.training.tolerance import is_ideal, larger_is_milder
from tngd_bench.problems.metrics import TRAINING_LOSS
from tngd_bench.report.document import charting, slugs, tables
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.figures import figure_of
from tngd_bench.report.document.palette import INK, MUTED
from tngd_bench.report.document.tables import RECORDS, SECTION, Table, amount, words
from tngd_bench.studies.store import columns as c

_KEYS = [c.GROUP, c.OPTIMIZER, c.SWEEP_PARAMETER, c.SWEEP_PARAMETER_2]
_UNSTABLE = " Unstable: no seed was trained, with the least stability margin found (1/τ)."
_NO_SEED: dict[str, Any] = {"facecolor": "none", "edgecolor": MUTED.light, "hatch": "xxx"}


def pair_table(results: Results) -> pd.DataFrame:
    """Return the median final loss and how often training diverged, per pair of levels or worded level.

    Columns: group, optimizer, the two parameters with value and label, `seeds`, `diverged`, `unstable` (of these),
    `margin` (the least stability margin that ended a seed, 1/τ), the final training loss and the leading test score
    (medians of finished seeds), keys.
    """
    final, trials = results.final[without_scale(results.final)], results.trials
    wanted = [*_KEYS, c.SWEEP_VALUE, c.SWEEP_VALUE_2, c.SWEEP_LABEL, c.SWEEP_LABEL_2, c.REASON]
    present = trials.reindex(columns=[c.KEY, *wanted]).drop_duplicates(c.KEY)
    scores = [TRAINING_LOSS.final, leading(final).final]
    merged = final[[c.KEY, c.STATUS, *scores]].merge(present, on=c.KEY)
    levels = [*_KEYS, c.SWEEP_VALUE, c.SWEEP_VALUE_2, c.SWEEP_LABEL, c.SWEEP_LABEL_2]
    rows = []
    for values, part in merged.groupby(levels, dropna=False, sort=True):
        ok = c.only(part, status="ok")
        ended = margins(part[c.REASON]).dropna()
        row: dict[str, object] = dict(zip(levels, values, strict=True))
        row |= {"seeds": len(part), "diverged": int((part[c.STATUS] == "diverged").sum())}
        row |= {"unstable": len(ended), "margin": float(ended.min()) if len(ended) else np.nan}
        row |= {name: ok[name].astype(float).median() for name in scores}
        rows.append(row | {"keys": tuple(sorted(part[c.KEY]))})
    columns = [*levels, "seeds", "diverged", "unstable", "margin", *scores, "keys"]
    return pd.DataFrame(rows, columns=columns)


def _pairs(results: Results) -> Iterator[pd.DataFrame]:
    """Yield the rows of every optimizer and pair of settings swept at once."""
    table = pair_table(results)
    for _, part in table[table[c.SWEEP_PARAMETER_2].notna()].groupby(_KEYS, sort=True):
        yield part.reset_index(drop=True)


@figure_of("noise", "two imperfections at once", cases=_pairs, place=10)
def pair_chart(results: Results, part: pd.DataFrame) -> Chart:
    """Draw the final loss over two settings as a heat map."""
    group, optimizer, first, second = map(str, part[_KEYS].iloc[0])
    columns, rows = _order(part, first, ""), _order(part, second, "_2")
    figure, axes = charting.panel(1.6 + 0.36 * len(rows))
    losses = part["final_loss"].astype(float)
    finite = losses[np.isfinite(losses)]
    lowest, highest = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    shading = _Shading(lowest, highest)
    for row in c.each(part):
        place = columns.index(_level(row, "")), rows.index(_level(row, "_2"))
        if np.isfinite(row.final_loss):
            _draw_loss(axes, place, row, shading)
        else:
            _draw_diverged(axes, place, row)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.grid(visible=False)
    axes.set(xlabel=axis_title(first), ylabel=axis_title(second))
    handles = shading.handles()
    if len(finite) < len(losses):
        handles.append(Patch(**_NO_SEED, label="no seed finished"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    best = part.assign(_loss=losses).sort_values("_loss", kind="stable").iloc[0]
    lost = int((part["diverged"] > 0).sum())
    unstable = int(part["unstable"].sum())
    names = " and ".join(map(parameter_name, (first, second)))
    return Chart(
        slugs.slug("pair", group, optimizer, first, second),
        f"Final training loss over {names}, {results.infos[optimizer].title} ({group})",
        f"Median final training loss over {names}: lowest {quantities.significant(lowest)} at "
        f"{best[c.SWEEP_LABEL]} and {best[c.SWEEP_LABEL_2]}, highest {quantities.significant(highest)}; {lost} of "
        f"{len(part)} pairs had seeds that diverged, {unstable} seeds on an unstable device.",
        "Levels from mild to harsh. Median over finished seeds; * some seeds diverged."
        + (_UNSTABLE if unstable else ""),
        figure,
        part,
    )


class _Shading:
    """Greys for losses, light to dark: the colours belong to the optimizers, and a reader without colour sees the same.

    A difference of a few percent must not look like all there is: the scale spans a factor of 1.2 at least.
    """

    def __init__(self, lowest: float, highest: float) -> None:
        self.lowest, self.highest = lowest, highest
        self.digits = 3 if 0 < highest < 1.5 * lowest else 2
        self._norm: Normalize = (
            LogNorm(lowest, max(highest, lowest * 1.2)) if lowest > 0 else Normalize(lowest, highest)
        )
        self._shades = colormaps["Greys"]

    def share(self, loss: float) -> float:
        """Return the place of a loss on the scale, 0 to 1."""
        return float(self._norm(loss))

    def colour(self, share: float) -> tuple[float, float, float, float]:
        """Return the grey of a place on the scale."""
        return self._shades(0.08 + 0.72 * share)

    def handles(self) -> list[Patch]:
        """Return the legend's entries for the ends of the scale."""
        ends = (("lowest loss", self.lowest, 0.0), ("highest", self.highest, self.share(self.highest)))
        look = partial(Patch, edgecolor=INK.light)
        return [
            look(facecolor=self.colour(share), label=f"{name} {quantities.significant(loss)}")
            for name, loss, share in ends
        ]


def _draw_loss(axes: Axes, place: tuple[int, int], row: Any, shading: _Shading) -> None:
    share = shading.share(row.final_loss)
    axes.add_patch(_cell(place, facecolor=shading.colour(share), edgecolor=MUTED.light))
    text = quantities.significant(row.final_loss, shading.digits) + ("*" if row.diverged else "")
    ink = "#ffffff" if share > 0.6 else "#111111"
    axes.text(*place, text, ha="center", va="center", fontsize=8, color=ink)


def _draw_diverged(axes: Axes, place: tuple[int, int], row: Any) -> None:
    axes.add_patch(_cell(place, **_NO_SEED))
    text = f"unstable\n{_margin(row.margin)}" if row.unstable else "diverged"
    box = {"facecolor": "#ffffff", "edgecolor": "none", "pad": 1.0}
    axes.text(*place, text, ha="center", va="center", fontsize=6.5, color="#111111", bbox=box)


def _cell(place: tuple[int, int], **style: Any) -> Rectangle:
    x, y = place
    return Rectangle((x - 0.5, y - 0.5), 1, 1, linewidth=0.6, **style)


def _margin(value: float) -> str:
    return f"{quantities.significant(value, 2)}/τ"


def _level(row: object, mark: str) -> str:
    label = getattr(row, f"{c.SWEEP_LABEL}{mark}")
    value = getattr(row, f"{c.SWEEP_VALUE}{mark}")
    if isinstance(label, str):
        return label
    return "ideal" if pd.isna(value) else quantities.level(float(value))


def _order(part: pd.DataFrame, parameter: str, mark: str) -> list[str]:
    """Return the levels as text, the ideal one first, then from mild to harsh; words in the order of the alphabet."""
    values = part[f"{c.SWEEP_VALUE}{mark}"].astype(float)
    sign = -1.0 if larger_is_milder(parameter) else 1.0
    ideal = is_ideal(parameter, values)
    place = (sign * values).where(~ideal, -np.inf)
    ordered = part.assign(_place=place).sort_values(["_place", f"{c.SWEEP_LABEL}{mark}"], kind="stable")
    return list(dict.fromkeys(_level(row, mark) for row in c.each(ordered)))


def stability_section(table: pd.DataFrame, infos: Infos) -> tuple[str, Table]:
    """Return a sentence on the stability of programmed arrays, "" without any, and `table` as shown."""
    columns = (
        tables.optimizer_column(infos),
        SECTION,
        words("levels", lambda row: levels_text(row) or "as set"),
        tables.share("trainings on an unstable device", "unstable", "trials"),
        amount("stability margin, least (1/τ)", "margin", quantities.significant, none="> 0"),
        RECORDS,
    )
    caption = (
        "Stability of arrays as programmed: the margin min Re eig(Ĥ J₂ J₁ᵀ) + λ of a device with separate arrays must "
        "stay above 0. It is tested in every iteration; “> 0”: by how much it stayed above is not in these records, or "
        "the arrays are such that it cannot fall below."
    )
    shown = tables.table_of("stability", caption, columns, table)
    if table.empty:
        return "", shown
    lost, ran = int(table["unstable"].sum()), int(table["trials"].sum())
    if not lost:
        recorded = table["margin"].astype(float).dropna()
        least = f", the least recorded {_margin(recorded.min())}" if len(recorded) else ""
        trainings = f"{'the one training' if ran == 1 else f'all {ran} trainings'} on programmed arrays"
        return f"Stability margin: above 0 in every iteration of {trainings}{least}.", shown
    worst = table.sort_values("margin", kind="stable").iloc[0]
    where = levels_text(worst)
    sentence = (
        f"Stability margin: above 0 throughout in {ran - lost} of {ran} trainings on programmed arrays, not so in "
        f"{lost}; least {_margin(float(worst['margin']))}{f' at {where}' if where else ''}."
    )
    return sentence, shown


def levels_text(row: object) -> str:
    """Return the levels of one or two swept settings, e.g. "ADC resolution = 8, thermal noise κ₀ = 0.01"."""
    pair = [(getattr(row, f"{c.SWEEP_PARAMETER}{mark}"), mark) for mark in ("", "_2")]
    return ", ".join(
        f"{parameter_name(name)} = {_level(row, mark)}" for name, mark in pair if isinstance(name, str)
    )


def levels_table(table: pd.DataFrame, infos: Infos) -> Table:
    """Return the rows of `pair_table` as a table of the page."""
    score = leading(table)
    columns = (
        tables.optimizer_column(infos),
        SECTION,
        words("levels", levels_text),
        tables.share(
            "seeds diverged",
            "diverged",
            "seeds",
            lambda row: f" ({row.unstable} unstable)" if row.unstable else "",
        ),
        amount("final training loss, median", "final_loss", quantities.significant),
        amount(
            f"final {score.title}, median", score.final, partial(quantities.metric, described=score.metric)
        ),
    )
    caption = (
        "Sweeps of two settings at once and of settings that are words. Unstable: the arrays as programmed have a "
        "growing mode (stability margin below zero), so no step was taken."
    )
    return tables.table_of("sweep-levels", caption, columns, table)
