"""`tngd-bench check`: whether the present state is worse than a baseline; the exit code is the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tngd_bench.cli.results import writing

if TYPE_CHECKING:
    from tngd_bench.analysis.baseline import Baseline
    from tngd_bench.analysis.gate import Selection
    from tngd_bench.analysis.regression import Judgement

DEFAULT_BASELINE = "benchmarks/baseline.json"

_EPILOG = """\b
Examples:
  tngd-bench check                                        exact figures against benchmarks/baseline.json: seconds
  tngd-bench check --baseline main                        against the revision main, times too, measured in turn
  tngd-bench check --baseline benchmarks/baseline.json --baseline main --summary summary.md
  tngd-bench check reports/new --baseline reports/old     two stores of one study

\b
Exit codes: 0 ok (inconclusive too, without --strict), 1 regression, 2 failed, or inconclusive under --strict,
3 bad configuration or nothing compared.
"""


@click.command(epilog=_EPILOG)
@click.argument("stores", nargs=-1, type=click.Path(path_type=Path), metavar="[STORE]...")
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="WHAT",
    help="A baseline file, a folder with a store, or a git revision; several: the first that has a metric decides."
    f"  [default: {DEFAULT_BASELINE}]",
)
@click.option(
    "--select", "patterns", multiple=True, metavar="GLOB", help="Only these metrics, e.g. 'operations/*'."
)
@click.option("--exact-only", is_flag=True, help="No wall times: only what is the same on every run.")
@click.option("--samples", type=click.IntRange(7), default=9, show_default=True, help="Samples a side.")
@click.option("--strict", is_flag=True, help="Fail, with exit code 2, where a metric is inconclusive.")
@click.option("--summary", type=click.Path(path_type=Path), help="Append a Markdown summary to this file.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML to this file.")
@click.option("--json", "as_json_file", type=click.Path(path_type=Path), help="Write JSON to this file.")
def command(
    stores: tuple[Path, ...],
    baselines: tuple[str, ...],
    patterns: tuple[str, ...],
    exact_only: bool,
    samples: int,
    strict: bool,
    summary: Path | None,
    junit: Path | None,
    as_json_file: Path | None,
) -> int:
    """Compare this tree, or STORE, with a baseline and say of every metric whether it got worse.

    Further STOREs are re-runs of the first: a slowdown counts only when one of them shows it too.
    """
    from tngd_bench.analysis.gate import Selection, present_environment
    from tngd_bench.analysis.regression import outcome
    from tngd_bench.cli.main import complain
    from tngd_bench.measure.trees import ProbeError
    from tngd_bench.report.check_summary import CheckSummary, as_json, as_junit, as_markdown, as_text

    wanted = baselines or (DEFAULT_BASELINE,)
    selection = Selection(patterns, times=not exact_only)
    try:
        judgements = _judge(stores, wanted, selection, samples)
    except ProbeError as error:
        return complain(str(error), 2)
    code, verdict = outcome(judgements, strict=strict)

    import torch

    head = ", ".join(map(str, stores)) or "this tree"
    result = CheckSummary(judgements, verdict, code, head, wanted, present_environment(torch.__version__))
    click.echo(as_text(result))
    for path, text, mode in (
        (summary, as_markdown, "a"),
        (junit, as_junit, "w"),
        (as_json_file, as_json, "w"),
    ):
        if path is not None:
            _write(path, text(result), mode)
    return code


def _judge(
    stores: tuple[Path, ...], baselines: tuple[str, ...], selection: Selection, samples: int
) -> list[Judgement]:
    from tngd_bench.analysis import gate
    from tngd_bench.measure.trees import checked_out, present_tree
    from tngd_bench.studies.errors import StoreError

    heads = [_store(path) for path in stores]
    judged: dict[str, Judgement] = {}
    for what in baselines:
        found = _stored(what)
        if heads:
            if found is None:
                raise StoreError(
                    f"a store is compared with a store or a baseline file, and {what} is neither"
                )
            new = gate.check_stores(found, heads, selection)
        elif found is not None:
            if Path(what).is_dir():
                raise StoreError(
                    f"baseline {what} is a store: run its study again and name that folder too,"
                    f" tngd-bench check FOLDER --baseline {what}"
                )
            new = gate.check_tree(present_tree(), found, selection, _say)
        else:
            try:
                with checked_out(what, present_tree()) as tree:
                    new = gate.check_revision(
                        tree, present_tree(), selection, _say, already=_decided(judged), samples=samples
                    )
            except LookupError as error:
                raise StoreError(
                    f"baseline {what} is no file and no folder with a store, and {error}"
                ) from None
        judged = {**judged, **{one.name: one for one in new if one.name not in _decided(judged)}}
    return list(judged.values())


def _decided(judged: dict[str, Judgement]) -> list[str]:
    return [name for name, one in judged.items() if one.verdict != "nothing compared"]


def _stored(what: str) -> Baseline | None:
    """Return the baseline in a file or a store; None where `what` can only be a revision."""
    from tngd_bench.analysis.baseline import read_baseline

    path = Path(what)
    if path.is_dir():
        return _store(path)
    # "main" may be a revision; what ends like a file and is none is a missing baseline
    return read_baseline(path) if path.is_file() or path.suffix == ".json" else None


def _store(path: Path) -> Baseline:
    from tngd_bench.analysis.study_metrics import study_baseline
    from tngd_bench.studies.records import read_records

    return study_baseline(read_records(path))


def _say(text: str) -> None:
    click.echo(text, err=True)


def _write(path: Path, text: str, mode: str) -> None:
    with writing(str(path)), path.open(mode, encoding="utf-8") as file:
        file.write(text)
