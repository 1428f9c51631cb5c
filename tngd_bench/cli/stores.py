"""Reading stores, writing files and opening a page, for the verbs that show results."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from tngd_bench import plugin_files
from tngd_bench.cli.main import FAILED, OK, complain, traceback_file
from tngd_bench.cli.warnings import note, tell_ignored
from tngd_bench.unwritable import refused_as

if TYPE_CHECKING:
    import pandas as pd

    from tngd_bench.report.document.charting import MissingFigure
    from tngd_bench.studies.store.reader import StoreReader
    from tngd_bench.studies.store.records import Records


def read_results(stores: Sequence[StoreReader], purpose: str) -> list[Records]:
    """Return the records of each store, and tell what was left out; StoreError where one has nothing to `purpose`."""
    from tngd_bench.studies.errors import StoreError
    from tngd_bench.studies.store.records import read_records

    read = [read_records(store) for store in stores]
    for store, records in zip(stores, read, strict=True):
        tell_ignored(records.ignored)
        _tell_plugins(records)
        if records.trials.empty:
            raise StoreError(f"{store.path} holds no finished trial yet; there is nothing to {purpose}")
    return read


def _tell_plugins(records: Records) -> None:
    """Name the files that a study took optimizers or problems from and that are not loaded here."""
    here = {file.name for file in plugin_files.loaded()}
    paths = [each["path"] for each in records.environment.get("plugins", ())]
    lacking = [path for path in paths if Path(path).name not in here]
    if lacking:
        options = " ".join(f"--plugin {path}" for path in lacking)
        note(f"with {options} what the study took from there has titles")


def writing(place: Path) -> AbstractContextManager[None]:
    """Turn a failure to write into the output folder `place` into a StoreError."""
    from tngd_bench.studies.errors import StoreError

    return refused_as(StoreError, place, f"output {place}")


def show_page(page: Path) -> None:
    """Open a page in the browser, or say that there is none."""
    if not webbrowser.open(page.resolve().as_uri()):
        note("no browser was found to open the page")


def tell_failed(trials: pd.DataFrame, what: str) -> int:
    """Say how many of `trials`, each called `what`, failed and why the first did; return the exit code."""
    from tngd_bench.analysis.quantities import number_of

    failed = trials[trials["status"] == "failed"]
    if failed.empty:
        return OK
    first = "{optimizer} in {group}: {reason}".format(**failed.iloc[0])
    return complain(f"{number_of(len(failed), what)} failed, the first: {first}", FAILED)


def tell_missing(missing: Sequence[MissingFigure]) -> int:
    """Say which parts a page was written without, with the traceback in a file; return the exit code."""
    if not missing:
        return OK
    first = missing[0]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    log = traceback_file("\n".join(f"{each.heading}\n{each.trace}" for each in missing))
    named = f"“{first.heading}”{more}: {first.error} (unexpected; {log})"
    return complain(f"the page was written without the {first.part} {named}", FAILED)
