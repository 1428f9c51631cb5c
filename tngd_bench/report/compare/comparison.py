"""The comparison of two stores as a page and as Markdown."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.compare import TwoStores, compare
from tngd_bench.analysis.families import Infos, optimizer_infos
from tngd_bench.analysis.findings.answer import Answer
from tngd_bench.analysis.findings.paragraphs import Paragraph
from tngd_bench.analysis.quantities import number_of
from tngd_bench.analysis.results import Results
from tngd_bench.atomic_write import write
from tngd_bench.report.compare import compared_tables
from tngd_bench.report.compare.compared_tables import cost_table, entries_table, training_table
from tngd_bench.report.document import charting, scales
from tngd_bench.report.document.charting import Chart, MissingFigure, line_style
from tngd_bench.report.document.figures import charts_of, figure_of
from tngd_bench.report.document.outline import Contents
from tngd_bench.report.document.palette import INK, marks
from tngd_bench.report.document.section import Section, guarded, missing_words
from tngd_bench.report.render import markdown, page
from tngd_bench.report.render.manifest import MADE, refuse_foreign, replace_manifest
from tngd_bench.report.render.section_files import write_sections
from tngd_bench.studies.store import columns as c
from tngd_bench.studies.store.records import Records

TITLE = "Two stores side by side"
_NO_COST = "No cost was measured at a setting that both stores hold."
_DIFFERENCES = "Entries of study and environment that differ, and settings of one optimizer; no times of day."


def build_comparison(
    a: Records, b: Records, names: tuple[str, str], output: Path
) -> tuple[Path, Path, tuple[tuple[str, str], ...], tuple[MissingFigure, ...]]:
    """Write `compare.html` and `compare.md` with their figures and data into `output`.

    Returns the two paths, the headlines and the figures that could not be drawn. `names` are what the stores are called
    on the page. StoreError where another file would be lost, OSError if `output` cannot be written.
    """
    refuse_foreign(output, "compare.html", ("compare.html", "compare.md"))
    both = Results(a), Results(b)
    found = compare(*both)
    infos = optimizer_infos(pd.concat([a.trials, b.trials], ignore_index=True))
    verdicts = compared_tables.compared_verdicts(*both)
    with charting.style():
        sections = guarded("compared", TITLE, lambda: comparison_sections(found, infos))
    first = (("Compared", f"A is {names[0]}, B is {names[1]}."), *headlines(found))
    if verdicts:
        sections = (compared_tables.verdict_comparison_section(verdicts, infos), *sections)
        first = (first[0], ("Claims", compared_tables.verdict_words(verdicts)), *first[1:])
    parts = write_sections(sections, output)
    if parts.missing:
        first = (*first, ("Missing", missing_words(parts.missing)))
    version = str(b.study.get("version", "not stated"))
    header = {"title": TITLE, "name": "compare", "version": version}
    told = Answer(first[0][1], paragraphs=tuple(Paragraph(*each) for each in first[1:]))
    shown = [section for section in parts.sections if not section.is_empty]
    text = page.render_page(Contents(told, tuple(shown)), parts.drawings, None, **header)
    html = write(output / "compare.html", text.encode())
    made = f"{MADE} {version}: tngd-bench compare {names[0]} {names[1]}"
    md = write(output / "compare.md", markdown.markdown(TITLE, first, parts.sections, made).encode())
    replace_manifest(output, [*parts.figures, *parts.data, html, md])
    return html, md, first, parts.missing


def headlines(found: TwoStores) -> tuple[tuple[str, str], ...]:
    """Return the differences in cost, training and conditions: a term and a sentence each."""
    return (
        ("Cost", _cost_words(found.costs) + _processor_words(found)),
        ("Training", _training_words(found)),
        ("Conditions", _conditions(found)),
    )


def _cost_words(costs: pd.DataFrame) -> str:
    if costs.empty:
        return _NO_COST
    middle = float(costs["ratio"].median())
    text = (
        f"Of {number_of(len(costs), 'shared setting')} the median ratio B/A in seconds is "
        f"{quantities.significant(middle)}×. This ratio includes changes of the machine's speed between the two runs."
    )
    others = costs[costs[c.OPTIMIZER] != costs["reference"]]
    relative = others[others["relative_low"].notna()]
    if len(relative):
        up, down = int((relative["relative_low"] > 1).sum()), int((relative["relative_high"] < 1).sum())
        text += (
            f" Relative to SGD in the same store, of {number_of(len(relative), 'setting')} B is slower in {up} and "
            f"faster in {down} (95 % intervals with the spread from run to run; {len(relative) / 20:.2g} leave out 1 "
            "by chance)."
        )
    elif others["relative"].notna().any():
        text += " Relative to SGD: not tested, as that takes three processes of each."
    else:
        text += " Relative to SGD: not known, as no other optimizer was timed beside it in both stores."
    counted = costs[costs["a_flops"].notna() & costs["b_flops"].notna()]
    changed = int((counted["a_flops"] != counted["b_flops"]).sum())
    return f"{text} Counted operations differ in {changed} of {len(counted)}."


def _processor_words(found: TwoStores) -> str:
    """Return the sentence on times of two processors, "" for those of one."""
    first, second = found.processors
    if first == second or found.costs.empty:
        return ""
    return (
        f" A was measured on {first}, B on {second}: two processors have other ratios to SGD too, so that these "
        "differences are not those of the code alone."
    )


def _training_words(found: TwoStores) -> str:
    training = found.training
    if found.unpaired:
        return f"Not compared by seed: {found.unpaired}."
    unlike = f" Not compared, as other data were trained or evaluated on: {', '.join(found.unlike)}."
    unlike = unlike if found.unlike else ""
    if training.empty:
        return f"No training run is shared.{unlike}"
    pairs, equal = int(training["pairs"].sum()), int(training["equal"].sum())
    lower = int(training["b_lower"].sum())
    return (
        f"{number_of(pairs, 'pair')} of equal setting and seed: final loss equal to the bit in {equal}, lower in B in "
        f"{lower}, higher in {pairs - equal - lower}. Diverged: {int(training['a_diverged'].sum())} in A, "
        f"{int(training['b_diverged'].sum())} in B.{unlike}"
    )


def _conditions(found: TwoStores) -> str:
    environment = c.only(found.differences, where="environment")["name"]
    study = c.only(found.differences, where="study")["name"]
    changed = len(c.only(found.differences, where=c.SETTINGS))
    other = f" {number_of(changed, 'optimizer')} of one name ran with other settings." if changed else ""
    code = environment.str.startswith("code.")
    named = [*environment[~code], *(["code"] if code.any() else [])]  # its parts are in the table
    listed = ", ".join(named[:8]) + (" …" if len(named) > 8 else "")
    text = f"Environment: {_differ(environment)} ({listed})." if len(environment) else "Same environment."
    same = _differ(study) if len(study) else "the same"
    first, second = found.run_spreads
    spread = first.words if first == second else f"{first.words} in A, {second.words} in B"
    spread = f"Spread from run to run in intervals of cost: {spread}."
    only = f"{number_of(len(found.only), 'setting')} {'is' if len(found.only) == 1 else 'are'}"
    return f"{text} Study: {same}.{other} {only} in one store only. {spread}"


def _differ(names: pd.Series) -> str:
    return "1 entry differs" if len(names) == 1 else f"{len(names)} entries differ"


def comparison_sections(found: TwoStores, infos: Infos) -> tuple[Section, ...]:
    """Return the sections of a comparison; call it inside `charting.style()`."""
    return (
        Section(
            "cost",
            "Cost, B relative to A",
            charts=charts_of("compare", Compared(found.costs, infos)),
            tables=(cost_table(found.costs, infos),),
        ),
        Section(
            "training",
            "Training, paired by seed",
            tables=(training_table(found.training, infos),),
        ),
        Section(
            "differences",
            "What differs",
            tables=(
                entries_table(found.differences, "differences", _DIFFERENCES),
                entries_table(found.only, "only-in-one", "Measured in one store only."),
            ),
        ),
    )


@dataclass(frozen=True)
class Compared:
    """The costs of two stores at the settings that both hold, with their optimizers."""

    costs: pd.DataFrame
    infos: Infos


@figure_of("compare", "time per iteration, B relative to A")
def compared_chart(both: Compared) -> Chart | None:
    """Draw the ratio of times per iteration, relative to SGD of the same store where it was timed."""
    costs, infos, styles = both.costs, both.infos, marks(both.infos)
    if costs.empty:
        return None
    figure, axes = charting.panel(4.2)
    related = costs["relative"].notna() & (costs[c.OPTIMIZER] != costs["reference"])
    column = "relative" if related.any() else "ratio"
    shown = costs[related] if related.any() else costs
    left = len(costs) - len(shown) - int((costs[c.OPTIMIZER] == costs["reference"]).sum())
    alone = (
        f" In the table alone, without SGD beside it: {number_of(left, 'setting')}."
        if related.any() and left
        else ""
    )
    present = [label for label in infos if label in set(shown[c.OPTIMIZER])]
    for place, label in enumerate(present):
        own = c.only(shown, optimizer=label)
        mark = styles[label]
        x = own[c.PARAMETERS].to_numpy(float) * 1.06 ** (place - (len(present) - 1) / 2)
        y = own[column].to_numpy(float)
        low, high = (own[f"relative_{end}"].to_numpy(float) for end in ("low", "high"))
        spread = np.nan_to_num(np.stack([y - low, high - y]))  # no bar where no interval is known
        look = line_style(mark, linestyle="", linewidth=1.4, markersize=5)
        axes.errorbar(x, y, spread, **look, elinewidth=1.0, label=infos[label].title)
    axes.axhline(1.0, color=INK.light, linewidth=0.9)
    scales.axis(axes, "x", scales.AXES[c.PARAMETERS], scales.log_counts)
    if shown[c.PARAMETERS].nunique() == 1:  # points side by side are no other sizes
        axes.set_xticks(shown[c.PARAMETERS].unique())
        axes.xaxis.minorticks_off()
    against = "relative to SGD" if column == "relative" else "time per iteration"
    scales.axis(axes, "y", f"{against}, B / A", scales.log_ratios)
    charting.legend_below(figure, axes)
    return Chart(
        "compare-cost",
        "Time per iteration, B relative to A",
        f"Ratio of median times per iteration by optimizer and N. {_cost_words(costs)}",
        "Relative to SGD of the same store where it was timed, with 95 % intervals (Welch's over processes, and the "
        "spread from run to run); else the ratio of seconds, which has none. Total, measured digital + modelled "
        f"device. Points of one N are drawn side by side.{alone}",
        figure,
        costs.reset_index(drop=True),
    )
