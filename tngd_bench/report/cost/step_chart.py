"""The picture of one step at one size: the device beside its rivals, split into host, link and relaxation."""

import pandas as pd
from matplotlib.ticker import MaxNLocator

from tngd_bench.analysis.cost.iteration_cost import median_text
from tngd_bench.analysis.cost.leads import main_size
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.optimizer_names import without_tuned
from tngd_bench.analysis.results import Results
from tngd_bench.optimizers.registry import exact_natural
from tngd_bench.report.document import charting, scales
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
    shown = here.drop(index=exact.index[1:])
    return shown.assign(host_s=shown["digital_median_s"], link_s=shown[c.WRITE_S] + shown[c.READ_S])


@figure_of("pictures", "a step at one size")
def step_chart(results: Results) -> Chart | None:
    """Draw the parts of a step of every optimizer shown at one size."""
    infos, rows = results.infos, shown_rows(results.cost_summary, results.infos)
    if rows.empty:
        return None
    figure, axes = charting.panel(3.3)
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
    titles = [without_tuned(infos[label].title) for label in rows[c.OPTIMIZER]]
    axes.set_yticks(places, [charting.folded(title) for title in titles])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.22 * left.max())
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4))  # the picture is a third of the page wide
    axes.xaxis.set_major_formatter(lambda value, _: scales.round_seconds(value))
    axes.set_xlabel("time of one step")
    charting.legend_below(figure, axes, columns=2)
    first = rows.iloc[0]
    size = size_and_batch(first)
    told = ", ".join(f"{title} {time}" for title, time in zip(titles, times, strict=True))
    return Chart(
        "step",
        f"One step at {size}",
        f"Time of one step on {first[c.PROBLEM]} at {size}, the quickest first: {told}.",
        "Medians, the quickest setting of each. Plain: measured on this machine. Hatched: the modelled device. Of the "
        "sizes with the most families of optimizers and processes enough for a test this is the largest."
        + charting.appended(results.about_formats(set(rows[c.OPTIMIZER]))),
        figure,
        rows.reset_index(drop=True),
    )
