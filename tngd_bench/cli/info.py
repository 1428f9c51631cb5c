"""`tngd-bench info`: the machine and software that results would be measured with."""

from __future__ import annotations

import json

import click

from tngd_bench.analysis import quantities


@click.command(epilog="\b\nExample:\n  tngd-bench info --json\n")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """Show processor, GPU, memory, threads, torch build, linear algebra library, packages and revision."""
    from tngd_bench.measure.environment import describe_environment, has_gpu

    environment = describe_environment("cuda" if has_gpu() else "cpu")
    if as_json:
        click.echo(json.dumps(environment, indent=2, ensure_ascii=False))
        return
    packages = environment.pop("packages")
    width = max(len(name) for name in environment)
    for name, value in environment.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {_shown(name, value)}")
    if isinstance(packages, dict):
        click.echo(
            f"{'packages':<{width}}  {', '.join(f'{name} {found}' for name, found in packages.items() if found)}"
        )


def _shown(name: str, value: object) -> str:
    if value is None:
        return "not known"
    if name in ("memory_bytes", "gpu_memory_bytes") and isinstance(value, int):
        return f"{value:,} ({quantities.memory(value)})"
    if isinstance(value, dict):
        return ", ".join(f"{part} {what}" for part, what in value.items())
    return str(value)
