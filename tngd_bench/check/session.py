"""A check of the command line: the baselines that it names, the judgements by each of them, and notes."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tngd_bench.check import gate
from tngd_bench.check.baseline import Baseline, BaselineError, read_baseline
from tngd_bench.check.gate import MetricFilter, NothingSelectedError, Say
from tngd_bench.check.regression import Judgement
from tngd_bench.check.study_metrics import study_baseline
from tngd_bench.check.trees import checked_out, present_tree
from tngd_bench.measure.environment import git_revision
from tngd_bench.measure.git import UNSHALLOW, is_shallow, merge_base
from tngd_bench.studies.errors import StoreError
from tngd_bench.studies.store.records import read_records


@dataclass
class CheckSession:
    """One check: what was judged so far, baseline by baseline; an error leaves what was judged before it."""

    stores: Sequence[Path]
    baselines: Sequence[str]
    selection: MetricFilter
    samples: int
    say: Say
    environment: dict[str, Any] = field(default_factory=dict)
    judged: dict[str, tuple[Judgement, ...]] = field(default_factory=dict)
    commits: dict[str, str | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _files: dict[str, Baseline] = field(default_factory=dict)

    def run(self) -> None:
        """Judge by every baseline, those in files first: a change that one writes down passes a revision."""
        if not self.stores:
            self.commits["head"] = git_revision(present_tree() / "tngd_bench" / "measure")
        self.environment = gate.present_environment(torch.__version__)
        if not all(what.strip() for what in self.baselines):
            raise StoreError("--baseline is empty; a file, a store's folder or a git revision is accepted")
        stored = {what: _stored(what) for what in self.baselines}
        self._files = {what: one for what, one in stored.items() if one is not None}
        unmatched: NothingSelectedError | None = None
        for what in sorted(stored, key=lambda what: stored[what] is None):
            try:
                self.judged[what] = self._judge(what, stored[what])
            except NothingSelectedError as error:
                unmatched = error
        names = [one.name for judgements in self.judged.values() for one in judgements]
        if unmatched is not None and not names:
            raise unmatched
        for pattern in self.selection.patterns:
            MetricFilter((pattern,)).of(names)

    def judgements(self) -> list[Judgement]:
        """Return all judgements, each with the baseline that it is against where there are several."""
        return [
            dataclasses.replace(one, against=what if len(self.baselines) > 1 else "")
            for what, judgements in self.judged.items()
            for one in judgements
        ]

    def _judge(self, what: str, stored: Baseline | None) -> tuple[Judgement, ...]:
        if self.stores:
            if stored is None:
                raise StoreError(
                    f"a store is compared with a store or a baseline file, and {what} is neither"
                )
            heads = [_store(path) for path in self.stores]
            for path, head in zip(self.stores, heads, strict=True):
                if stored.metrics and head.metrics and stored.metrics.keys().isdisjoint(head.metrics):
                    raise StoreError(
                        f"baseline {what} has no figure in common with {path}: name a store of the same study,"
                        f" tngd-bench check {path} --baseline FOLDER"
                    )
            return gate.check_stores(stored, heads, self.selection)
        if stored is None:
            return self._judge_by_revision(what)
        if _is_store(Path(what)):
            raise StoreError(
                f"baseline {what} is a store: run its study again and name that folder too,"
                f" tngd-bench check FOLDER --baseline {what}"
            )
        return gate.check_tree(present_tree(), stored, self.selection, self.say)

    def _judge_by_revision(self, what: str) -> tuple[Judgement, ...]:
        head = present_tree()
        try:
            with checked_out(what, head) as base:
                self.commits[what] = base.commit
                self._note_fork(what, base.commit, head)
                self._note_other_locks(what, base.tree, head)
                judged = gate.check_revision(base.tree, head, self.selection, self.say, samples=self.samples)
                for file, own in self._files.items():
                    theirs = base.tree / os.path.relpath(Path(file).resolve(), head)
                    if Path(file).resolve().is_relative_to(head) and theirs.is_file():
                        held = self._baseline_of(what, theirs)
                        if held is not None:
                            judged = gate.excused(judged, own, held, self.judged.get(file, ()))
                return judged
        except LookupError as error:
            raise StoreError(f"baseline {what} is no file and no folder with a store, and {error}") from None

    def _baseline_of(self, what: str, file: Path) -> Baseline | None:
        """Return the revision's own baseline file; None with a note where it is damaged: it then excuses nothing."""
        try:
            return read_baseline(file)
        except BaselineError as error:
            self.notes.append(f"the baseline file of {what} cannot be read, so it excuses no change: {error}")
            return None

    def _note_fork(self, what: str, commit: str, head: Path) -> None:
        """Note where the revision has commits that this tree lacks: they would count as this tree's changes."""
        fork = merge_base(head, commit, "HEAD")
        if fork is None and is_shallow(head):
            self.notes.append(
                f"this is a shallow clone, so it is not known whether {what} is an ancestor of this tree's commit: what"
                f" changed there since would count as a change of this tree; {UNSHALLOW}"
            )
            return
        if fork != commit:
            where = f"since {fork[:12]} " if fork else ""
            self.notes.append(
                f"{what} is no ancestor of this tree's commit: what changed there {where}counts as a change of this"
                f" tree, the other way round; `--baseline $(git merge-base {what} HEAD)` leaves it out"
            )

    def _note_other_locks(self, what: str, base: Path, head: Path) -> None:
        """Note where the revision pins other packages: both sides run with those that are installed here."""
        names = {lock.name for tree in (base, head) for lock in tree.glob("requirements*.lock")}
        for name in sorted(names):
            files = (tree / name for tree in (base, head))
            # a checkout may have other line ends
            before, after = (
                file.read_bytes().replace(b"\r\n", b"\n") if file.is_file() else None for file in files
            )
            if before != after:
                told = "both were measured with the packages installed here"
                self.notes.append(f"{name} differs from that of {what}: {told}")


def _stored(what: str) -> Baseline | None:
    """Return the baseline in a file or a store; None where `what` can only be a revision."""
    path = Path(what)
    if _is_store(path):
        return _store(path)
    # "main" may be a revision; what ends like a file and is none is a missing baseline
    return read_baseline(path) if path.is_file() or path.suffix == ".json" else None


def _is_store(path: Path) -> bool:
    return path.is_dir() or path.suffix == ".parquet"


def _store(path: Path) -> Baseline:
    return study_baseline(read_records(path))
