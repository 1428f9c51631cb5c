"""`tngd-bench new`: a commented template of a plug-in or a study, which runs as it is."""

import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import click

from tngd_bench.unwritable import cannot_be_written

TEMPLATES = {
    "optimizer": "optimizer.py",
    "problem": "problem.py",
    "device": "device.py",
    "study": "study.toml",
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")

_EPILOG = """\b
Examples:
  tngd-bench new optimizer my_method     writes my_method.py
  tngd-bench test my_method.py           checks it
  tngd-bench new study my_study          writes my_study.toml, to be run
"""


@click.command(epilog=_EPILOG)
@click.argument("kind", type=click.Choice(list(TEMPLATES)))
@click.argument("name")
def command(kind: str, name: str) -> None:
    """Write a template of a plug-in or a study. It is called NAME and goes into the current folder."""
    if not _NAME.fullmatch(name):
        raise click.UsageError(
            f"NAME must be up to 60 letters, digits, _ and -, a letter first, not {name!r}"
        )
    _refuse_taken(kind, name)
    if kind != "study" and not Path(f"{name}.py").exists() and find_spec(name) is not None:
        raise click.UsageError(f"there is a module {name!r}, which {name}.py would hide; choose another NAME")
    template = files("tngd_bench.cli.plugins").joinpath(f"templates/{TEMPLATES[kind]}").read_text("utf-8")
    path = Path(name + Path(TEMPLATES[kind]).suffix)
    text = re.sub(r"\b[Mm]ine\b", name, template)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.UsageError(f"{path} exists; nothing was written, choose another NAME") from None
    except OSError as error:
        raise click.ClickException(cannot_be_written(str(path), path, error)) from None
    click.echo(f"{path} written; next: tngd-bench {'plan' if kind == 'study' else 'test'} {path}")


def _refuse_taken(kind: str, name: str) -> None:
    """Raise UsageError where a KIND that comes with this package, or is installed, has the name already."""
    from tngd_bench.studies.file.merge import shipped_studies
    from tngd_bench.studies.plugin import registered

    by_kind = {"study": shipped_studies(), **{str(each): names for each, names in registered().items()}}
    taken = by_kind[kind]
    if name in taken:
        raise click.UsageError(
            f"there is {'an' if kind == 'optimizer' else 'a'} {kind} {name!r} already; nothing was written, choose"
            f" another NAME (taken: {', '.join(taken)})"
        )
