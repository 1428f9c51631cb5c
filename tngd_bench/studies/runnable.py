"""Studies in Python: read or built, planned and run; `tngd_bench.studies.Study`, and what the command line runs."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tngd_bench.studies.file.reading import LoadedStudy, load_study, make_study
from tngd_bench.studies.plugin import use_plugin

if TYPE_CHECKING:
    from tngd_bench.studies.run.run_study import Audience, StudyRun


@dataclasses.dataclass(frozen=True, init=False)
class RunnableStudy:
    """A study to run from Python.

    Parameters
    ----------
    plugins : iterable of paths
        Files with optimizers, problems, devices and engines.
    **table : Any
        The keys of a study file.

    Examples
    --------
    >>> Study(name="mine", title="Mine", training=[{"name": "digits", "problem": "digits-mlp", ...}]).run("out")
    >>> Study.read("mine.toml").run("out")
    >>> Results("out").costs  # of tngd_bench.analysis
    """

    loaded: LoadedStudy

    def __init__(self, *, plugins: Iterable[str | Path] = (), **table: Any) -> None:
        """Build a study from the tables of a study file; StudyError with key path, value and what is accepted."""
        for path in plugins:
            use_plugin(path)
        study = make_study(copy.deepcopy(table), str(table.get("name", "study")))
        object.__setattr__(self, "loaded", LoadedStudy(study, "Python"))

    @classmethod
    def read(cls, reference: str | Path, overrides: Sequence[str] = (), profile: str | None = None) -> Self:
        """Return a shipped study, or that of a file, with "KEY=VALUE" `overrides` and a `profile`; StudyError."""
        study = cls.__new__(cls)
        object.__setattr__(study, "loaded", load_study(str(reference), overrides, profile))
        return study

    def load_workers(self) -> None:
        """Start the server of the study's processes here: it loads torch while this process does other things."""
        if self.loaded.study.execution.engine == "local":
            from tngd_bench.studies.run.worker_process import worker_context

            worker_context()

    def run(
        self, output: str | Path | None = None, audience: Audience | None = None, **options: Any
    ) -> StudyRun:
        """Run the study, or go on with it, in the folder `output`, reports/NAME where left out; see `run_study`.

        Its progress is printed line by line, as a notebook shows it, unless an `audience` is told of it. `options` are
        those of `run_study`: fresh, keep_old, command, scheduler.
        """
        if options.get("scheduler") is None:
            self.load_workers()
        from tngd_bench.studies.run.audience import PlainAudience, say_at_once
        from tngd_bench.studies.run.run_study import run_study

        place = self.loaded.folder if output is None else Path(output)
        return run_study(self.loaded, place, audience or PlainAudience(say_at_once), **options)
