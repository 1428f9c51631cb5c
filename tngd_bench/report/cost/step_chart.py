"""Pictures of one step at one size: the device beside its rivals, split into host, link and relaxation."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.ticker import MaxNLocator

from tngd_bench.analysis import quantities
from tngd_bench.analysis.cost.iteration_cost import median_text
from tngd_bench.analysis.cost.leads import main_size
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.optimizer_names import without_tuned
from tngd_bench.analysis.results import Results
from tngd_bench.optimizers.registry import exact_natural
from tngd_bench.report.cost import cost_series
from tngd_bench.report.cost.cost_series import CostSeries
from tngd_bench.report.document import charting, scales, slugs
from tngd_bench.report.document.charting import Chart, Look
from tngd_bench.report.document.figures import figure_of
from tngd_bench.report.document.palette import DIGITAL, PAPER, RELAX, WRITE
from tngd_bench.report.document.tables import size_and_batch
from tngd_bench.studies.store import columns as c

_PARTS = {
    "host_s": ("host (measured)", DIGITAL, ""),
    "link_s": ("link and writing (modelled)", WRITE, "////"),
    c.RELAX_S: ("relaxation (modelled)", RELAX, "xxxx"),
}


def shown_rows(summary: pd.DataFrame, infos: Infos) -> pd.DataFrame:
    """Return the rows of `summary` at the one size shown, the quickest setting of each method shown, quickest first.

    Solvers of one exact step are one method.
    """
    here = main_size(summary, infos).drop_duplicates(c.METHOD)
    exact = here[here[c.METHOD].isin(exact_natural())]
    return here.drop(index=exact.index[1:])


@figure_of("pictures", "a step at one size")
def step_chart(results: Results) -> Chart | None:
    """Draw the parts of a step of every optimizer shown at one size."""
    infos, rows = results.infos, shown_rows(results.cost_summary, results.infos)
    if rows.empty:
        return None
    titles = [charting.folded(without_tuned(infos[label].title)) for label in rows[c.OPTIMIZER]]
    caption = (
        "Medians, the quickest setting of each. Plain: measured on this machine. Hatched: the modelled device. Of the "
        "sizes with the most families of optimizers and processes enough for a test this is the largest."
    )
    return _bars(results, rows, titles, "step", f"One step at {size_and_batch(rows.iloc[0])}", caption)


def _alone(results: Results) -> list[CostSeries]:
    """Return the series of one size, but for that of which the picture of one step shows all."""
    pictured = set(shown_rows(results.cost_summary, results.infos).index)
    return [one for one in cost_series.alone(results.cost_summary) if not set(one.part.index) <= pictured]


@figure_of("cost", "a step at the only size of its series", cases=_alone)
def alone_chart(results: Results, series: CostSeries) -> Chart:
    """Draw the parts of a step of every optimizer where no size is varied, so that nothing can be drawn against it."""
    rows = series.part.sort_values("at_least_s", kind="stable")
    titles = [charting.folded(results.infos[label].title, 34) for label in rows[c.OPTIMIZER]]
    size = quantities.count(rows[c.PARAMETERS].iloc[0])
    return _bars(
        results,
        rows,
        titles,
        slugs.slug("step", *series.slug_parts),
        f"One step at N = {size} ({series.where})",
        "Medians. Plain: measured on this machine. Hatched: the modelled device.",
    )


def _bars(
    results: Results, rows: pd.DataFrame, titles: Sequence[str], name: str, heading: str, caption: str
) -> Chart:
    """Return the chart of the parts of a step of `rows`, a bar each, called by its folded title."""
    rows = rows.assign(host_s=rows["digital_median_s"], link_s=rows[c.WRITE_S] + rows[c.READ_S])
    lines = max(title.count("\n") + 1 for title in titles)
    figure, axes = charting.panel(max(3.3, 1.2 + 0.16 * lines * len(rows)))
    left = pd.Series(0.0, rows.index)
    places = range(len(rows))
    for part, (label, colour, hatch) in _PARTS.items():
        if part == "host_s" or (rows[part] > 0).any():
            look: Look = {"color": colour.light, "hatch": hatch, "edgecolor": PAPER.light, "linewidth": 0.0}
            axes.barh(places, rows[part].fillna(0.0), 0.6, left, **look, label=label)
            left = left + rows[part].fillna(0.0)
    times = [median_text(row) for row in c.each(rows)]
    for place, (end, text) in enumerate(zip(left, times, strict=True)):
        axes.text(end + 0.015 * left.max(), place, text, va="center", fontsize=8.5)
    axes.set_yticks(places, titles)
    axes.margins(y=min(0.05, 0.5 / len(rows)))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.22 * left.max())
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4))  # the picture is a third of the page wide
    axes.xaxis.set_major_formatter(lambda value, _: scales.round_seconds(value))
    axes.set_xlabel("time of one step")
    charting.legend_below(figure, axes, columns=2)
    first = rows.iloc[0]
    told = ", ".join(f"{title} {time}" for title, time in zip(titles, times, strict=True)).replace("\n", " ")
    return Chart(
        name,
        heading,
        f"Time of one step on {first[c.PROBLEM]} at {size_and_batch(first)}, the quickest first: {told}.",
        caption + charting.appended(results.about_formats(set(rows[c.OPTIMIZER]))),
        figure,
        rows.reset_index(drop=True),
    )
