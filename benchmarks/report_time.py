"""Seconds from stored results to the report."""

import shutil
from pathlib import Path

STUDY = """
name = "page"
title = "A study to make a page of"

[execution]
workers = 1

[[cost]]
name = "size"
problem = "digits-mlp"
parameters = [500, 1000, 2000, 4000, 8000]
batch_size = 4
optimizers = ["sgd", "ngd-gram", "tngd"]
processes = 2
repetitions = 4
seconds_limit = 0.05

[[training]]
name = "digits"
problem = "digits-mlp"
parameters = 500
batch_size = 16
train_size = 160
epochs = 1
evaluations = 5
seeds = 2
optimizers = ["sgd", "tngd"]
"""


class Report:
    """The page of a small study with all its figures."""

    version = "1"
    number = 1
    repeat = (7, 7, 60.0)
    rounds = 1
    warmup_time = 0
    timeout = 300

    def setup_cache(self):
        """Run the study; return where its results are."""
        from tngd_bench.studies.file.reading import load_study
        from tngd_bench.studies.run.audience import PlainAudience
        from tngd_bench.studies.run.run_study import run_study

        study, place = Path("page.toml").absolute(), Path("page").absolute()
        study.write_text(STUDY)
        run_study(load_study(str(study)), place, PlainAudience(lambda line: None))
        return str(place)

    def setup(self, place):
        # what is imported at first use is no part of the time
        from tngd_bench.report import build_report
        from tngd_bench.studies.store.records import read_records

        self.read_records, self.build_report = read_records, build_report

    def time_records(self, place):
        self.read_records(Path(place))

    def time_report(self, place):
        self.build_report(self.read_records(Path(place)), Path(place) / "again")

    def teardown(self, place):
        shutil.rmtree(Path(place) / "again", ignore_errors=True)
