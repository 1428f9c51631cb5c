"""Studies that benchmarks run."""

from __future__ import annotations

from pathlib import Path

from tngd_bench.cli.progress import make_audience, make_console
from tngd_bench.studies.file.reading import LoadedStudy
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.store.records import Records, read_records


def recorded(study: LoadedStudy, folder: Path) -> Records:
    """Return the records of a study, run into a folder; what is there already is kept."""
    with make_audience(make_console()) as audience:
        run_study(study, folder, audience)
    return read_records(folder)
