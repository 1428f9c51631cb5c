import pandas as pd

from tngd_bench.analysis.families import kind
from tngd_bench.report.overview import compared
from tngd_bench.studies.records import TRIAL_COLUMNS

NOTHING = pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in TRIAL_COLUMNS.items()})


def test_settings_of_one_optimizer_are_no_further_optimizers():
    labels = ("adam", "adam[tuned]", "tngd", "tngd[delay=1]", "tngd[analog_time=5]")
    known = {label: kind(label, label.partition("[")[0]) for label in labels}
    assert compared(NOTHING, known) == "2 optimizers in 5 settings."
    assert compared(NOTHING, {"adam": known["adam"], "tngd": known["tngd"]}) == "2 optimizers."
    assert compared(NOTHING, {"adam": known["adam"]}) == "1 optimizer."
