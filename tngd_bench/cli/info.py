"""`tngd-bench info`: the machine and software that results would be measured with."""

import click

from tngd_bench.analysis import quantities
from tngd_bench.cli.option_kinds import json_option, print_json


@click.command(epilog="\b\nExample:\n  tngd-bench info --json\n")
@json_option
def command(as_json: bool) -> None:
    """Show the machine and software that numbers depend on. From the processor to packages and revision."""
    from tngd_bench.measure.environment import describe_environment, has_gpu

    environment = describe_environment("cuda" if has_gpu() else "cpu")
    if as_json:
        print_json(environment)
        return
    packages = environment.pop("packages")
    if isinstance(packages, dict):
        environment["packages"] = {name: found for name, found in packages.items() if found}
    width = max(map(len, environment))
    for name, value in environment.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {_shown(name, value)}")


def _shown(name: str, value: object) -> str:
    if value is None:
        return "not known"
    if name in ("memory_bytes", "gpu_memory_bytes") and isinstance(value, int):
        return f"{value:,} ({quantities.memory(value)})"
    if isinstance(value, dict):
        return ", ".join(f"{part} {what}" for part, what in value.items())
    return str(value)
