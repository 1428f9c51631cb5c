"""`tngd-bench list`: what there is to choose from."""

from collections.abc import Callable
from functools import partial
from importlib import import_module

import click

from tngd_bench.cli.study_options import plugin_option

KINDS = ("problems", "optimizers", "devices", "engines", "studies")


@click.command(
    "list",
    epilog="\b\nExamples:\n  tngd-bench list\n  tngd-bench list optimizers\n  tngd-bench list optimizers tngd\n",
)
@plugin_option
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.argument("name", required=False)
def command(kind: str | None, name: str | None) -> None:
    """List problems, optimizers, devices, engines and studies. One KIND of them, or the settings of optimizer NAME."""
    if name is not None:
        if kind != "optimizers":
            raise click.UsageError(f"a NAME is for `list optimizers NAME`, not for {kind}")
        _print(_settings(name))
        return
    for number, each in enumerate(KINDS if kind is None else (kind,)):
        if kind is None:
            click.echo(("\n" if number else "") + each)
        _print(_ROWS[each]())


def _print(rows: list[tuple[str, str]]) -> None:
    width = max((len(label) for label, _ in rows), default=0)
    for label, text in rows:
        click.echo(f"  {label:<{width}}  {text}".rstrip())


def _settings(name: str) -> list[tuple[str, str]]:
    """Return the settings of an optimizer with their defaults, and what each is in words where the name is none."""
    from tngd_bench.analysis.setting_names import parameter_name, value_text
    from tngd_bench.optimizers import registry
    from tngd_bench.spu.description import DEVICE_FIELDS

    try:
        defaults = registry.get(name).defaults
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    rows = []
    for key, value in defaults.items():
        told = "the device's own" if value is None and key in DEVICE_FIELDS else value_text(key, value)
        words = parameter_name(key)
        rows.append((key, told if words == key.replace("_", " ") else f"{told}  ({words})"))
    return rows


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
    from tngd_bench.studies.file.merge import read_table, shipped_studies

    # Unchecked: one that needs an extra is listed without it.
    read = {name: read_table(name) for name in shipped_studies()}
    return [
        (name, item.table["title"] + (f" (profiles: {', '.join(item.profiles)})" if item.profiles else ""))
        for name, item in read.items()
    ]


_ROWS: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "problems": partial(_registered, "problems"),
    "optimizers": partial(_registered, "optimizers"),
    "devices": _devices,
    "engines": _engines,
    "studies": _studies,
}
