"""Statement and tables on optimizers named by their class: how they are measured, their parameters, first steps."""

import json
from collections.abc import Iterator

import pandas as pd

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.results import Results
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.torch_class.entry import is_class_name
from tngd_bench.report.document import tables
from tngd_bench.report.document.scales import SIGNS
from tngd_bench.report.document.tables import MEASURED, Table, amount
from tngd_bench.studies.store import columns as c


def statements(infos: Infos) -> tuple[tuple[str, str], ...]:
    """Return a term and a sentence on the measurement of these optimizers; () where none ran."""
    methods = dict.fromkeys(kind.method for kind in infos.values() if is_class_name(kind.method))
    entries = {name: registry.recorded(name) for name in methods}
    found = [name if entry is None else entry.title for name, entry in entries.items()]
    if not found:
        return ()
    sentence = (
        f"{quantities.listed(found)}: the classes as their packages have them, run as they are (eager). Times are "
        "measured like all others; what a first step loads, sets up and compiles is apart, in the table of first "
        "steps. Operations are counted, over a whole cycle of steps after the first, and divided by their number; "
        "memory is the peak of all these steps. No formula predicts their cost: a plan has lower bounds for them, and "
        "no map has them."
    )
    return (("Optimizers named by their class", sentence),)


def routing_table(trials: pd.DataFrame, infos: Infos) -> Table:
    """Return a table of the parameters given to each optimizer; the data have the shapes at every size."""
    told = trials[trials[c.ROUTING].notna()].drop_duplicates(
        [c.PROBLEM, c.PARAMETERS, c.OPTIMIZER, c.ROUTING]
    )
    told = told[[c.OPTIMIZER, c.PROBLEM, c.PARAMETERS, c.ROUTING]]
    caption = (
        "Which optimizer had which parameters, with their shapes; at several sizes those of the smallest. The rule is "
        "the setting route, and rest where it is set."
    )
    titles = ("optimizer", "problem", "N", "given to", "parameters")
    told = tables.sorted_rows(told, [c.OPTIMIZER, c.PROBLEM, c.PARAMETERS], infos)
    return tables.text_table("parameter-routing", caption, titles, _shares(told, infos), told)


def _shares(told: pd.DataFrame, infos: Infos) -> Iterator[tuple[str, ...]]:
    for (label, problem), sizes in told.groupby([c.OPTIMIZER, c.PROBLEM], sort=False):
        numbers = ", ".join(quantities.count(size) for size in sizes[c.PARAMETERS])
        for who, shapes in json.loads(sizes[c.ROUTING].iloc[0]).items():
            named = (f"{name} ({' × '.join(map(str, shape))})" for name, shape in shapes.items())
            yield infos[str(label)].title, str(problem), numbers, who, ", ".join(named)


def first_steps_table(results: Results) -> Table:
    """Return a table of the seconds of first steps, beside those of the steps timed after them."""
    first = results.trials[results.trials[c.FIRST_STEP_S].notna() & (results.trials[c.KIND] == "cost")]
    later = results.records.costs.groupby(c.KEY)[c.TOTAL_S].median()
    by = [c.GROUP, c.PROBLEM, *c.SIZE, c.OPTIMIZER]
    medians = (
        first.assign(later_s=first[c.KEY].map(later).astype(float))
        .groupby(by, sort=False)[[c.FIRST_STEP_S, "later_s"]]
        .median()
        .reset_index()
    )
    columns = (
        tables.optimizer_column(results.infos),
        tables.SECTION,
        *(amount(title, name) for name, title in SIGNS.items()),
        amount("first step", c.FIRST_STEP_S, quantities.seconds, MEASURED),
        amount("a step after it", "later_s", quantities.seconds, MEASURED),
    )
    caption = (
        "First steps of optimizers named by their class, medians over processes: on two samples, with all that a class "
        "loads, sets up and compiles. They are in no other time."
    )
    rows = tables.sorted_rows(medians, [c.GROUP, *c.SIZE, c.OPTIMIZER], results.infos)
    return tables.table_of("first-steps", caption, columns, rows)
