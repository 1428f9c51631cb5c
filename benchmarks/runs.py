"""Common parts of the scripts: their command line, and studies that they run."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tngd_bench.studies.file.reading import LoadedStudy
    from tngd_bench.studies.store.records import Records


def command_line(text: str | None) -> argparse.ArgumentParser:
    """Return a parser with a script's docstring, as it is written, for its help."""
    return argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


def keep_option(parser: argparse.ArgumentParser) -> None:
    """Add the option --keep; `store_folder` takes its value."""
    parser.add_argument(
        "--keep", type=Path, help="keep stores in this folder, and continue what it already holds"
    )


@contextlib.contextmanager
def store_folder(kept: Path | None) -> Iterator[Path]:
    """Yield the folder `kept`; where there is none, one that goes with the block."""
    with tempfile.TemporaryDirectory() as scratch:
        yield kept or Path(scratch)


def recorded(study: LoadedStudy, folder: Path) -> Records:
    """Return the records of a study, run into a folder; what is there already is kept."""
    from tngd_bench.cli.progress import make_audience, make_console
    from tngd_bench.studies.run.run_study import run_study
    from tngd_bench.studies.store.records import read_records

    with make_audience(make_console()) as audience:
        run_study(study, folder, audience)
    return read_records(folder)
