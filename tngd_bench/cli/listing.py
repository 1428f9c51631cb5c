"""`tngd-bench list`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

import click

from tngd_bench.cli.study_options import plugin_option

KINDS = ("problems", "optimizers", "devices", "engines", "studies")


@click.command("list", epilog="\b\nExamples:\n  tngd-bench list\n  tngd-bench list optimizers\n")
@plugin_option
@click.argument("kind", type=click.Choice(KINDS), required=False)
def command(kind: str | None) -> None:
    """List problems, optimizers, devices, engines and shipped studies; all of them, or one KIND."""
    for number, name in enumerate(KINDS if kind is None else (kind,)):
        if kind is None:
            click.echo(("\n" if number else "") + name)
        rows = _ROWS[name]()
        width = max(len(label) for label, _ in rows)
        for label, text in rows:
            click.echo(f"  {label:<{width}}  {text}".rstrip())


def _registered(floor: str) -> list[tuple[str, str]]:
    registry = import_module(f"tngd_bench.{floor}.registry")
    entries = {name: registry.get(name) for name in registry.names()}
    return [(name, f"{entry.title}: {entry.summary}") for name, entry in entries.items()]


def _devices() -> list[tuple[str, str]]:
    from tngd_bench.spu.device import Device

    return [(name, Device.preset(name).summary) for name in Device.presets()]


def _engines() -> list[tuple[str, str]]:
    from tngd_bench.studies import engines

    return [(name, engines.get(name).summary) for name in engines.names()]


def _studies() -> list[tuple[str, str]]:
    from tngd_bench.studies.file.reading import load_study, shipped_studies

    loaded = {name: load_study(name) for name in shipped_studies()}
    return [
        (name, item.study.title + (f" (profiles: {', '.join(item.profiles)})" if item.profiles else ""))
        for name, item in loaded.items()
    ]


_ROWS: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "problems": partial(_registered, "problems"),
    "optimizers": partial(_registered, "optimizers"),
    "devices": _devices,
    "engines": _engines,
    "studies": _studies,
}
