"""`tngd-bench test`: whether a plug-in does what every optimizer, problem, device and engine has to do."""

import dataclasses
from collections import Counter

import click

from tngd_bench.cli.option_kinds import default_option, json_option, print_json
from tngd_bench.cli.study_options import plugin_option

_EPILOG = """\b
Examples:
  tngd-bench test my_method.py
  tngd-bench test torch.optim:NAdam
  tngd-bench test sgd --json

Each check runs in a process of its own. The checks are written in tngd_bench/check/conformance/
and printed in docs/conformance.md.

Exit codes: 0 all passed, 1 a check failed, 2 the checks could not be run, 3 bad input.
"""
FAILED_CHECK = 1


@click.command(epilog=_EPILOG)
@click.argument("plugin")
@plugin_option
@json_option
@default_option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), default=60.0, help="Limit of a check."
)
def command(plugin: str, as_json: bool, seconds: float) -> int:
    """Check a plug-in or an optimizer. PLUGIN: FILE.py, a registered name, MODULE:CLASS, or a package."""
    from tngd_bench.check.examination import examine, subjects_of

    try:
        subjects = subjects_of(plugin)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    found, heading = [], ("", "")
    for finding in examine(subjects, seconds):
        found.append(finding)
        if as_json:
            continue
        if heading != (finding.kind, finding.name):
            heading = finding.kind, finding.name
            click.echo(" ".join(heading))
        click.echo(f"  {finding.status:<7}  {finding.check:<22}  {finding.found}")
    counts = Counter(finding.status for finding in found)
    if as_json:
        print_json({"plugin": plugin, "findings": [dataclasses.asdict(finding) for finding in found]})
    else:
        click.echo(
            f"{plugin}: " + ", ".join(f"{counts[each]} {each}" for each in ("passed", "failed", "skipped"))
        )
    return FAILED_CHECK if counts["failed"] else 0
