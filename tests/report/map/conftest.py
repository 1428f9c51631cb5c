"""Maps of the records that every test of the report has."""

import pandas as pd
import pytest

from tngd_bench.analysis.cost import iteration_cost
from tngd_bench.analysis.cost.rates import calibrate
from tngd_bench.analysis.families import optimizer_infos
from tngd_bench.analysis.results import Results
from tngd_bench.report.document import charting
from tngd_bench.report.map import map_section

NO_TRIALS = pd.DataFrame({"settings": pd.Series(dtype=object)})


@pytest.fixture(scope="session")
def results(records):
    with charting.style():
        return map_section.map_results(Results(records, clocked=True))


@pytest.fixture(scope="session")
def calibrations(records):
    known = optimizer_infos(records.trials)
    return calibrate(iteration_cost.summarise(records.costs, records.trials), records.trials, known)


@pytest.fixture(scope="session")
def charts(results):
    return {chart.name: chart for section in (results.map, results.what_if) for chart in section.charts}
