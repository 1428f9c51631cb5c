"""Kinds of options that several verbs have."""

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from tngd_bench.unwritable import is_foreign


class _Folder(click.Path):
    """A folder that is there or can be made: no file stands in its place, or in that of a folder above it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; an error that names the file in the way."""
        folder = Path(os.fsdecode(super().convert(value, param, ctx)))
        for place in (folder, *folder.parents):
            if os.path.exists(place) and not os.path.isdir(place):  # noqa: PTH110, PTH112  # false for what is not readable
                self.fail(f"{place} is a file, not a folder", param, ctx)
        return folder


PATH, FILE = click.Path(path_type=Path), click.Path(path_type=Path, dir_okay=False)
FOLDER = _Folder(path_type=Path)
path_option = partial(click.option, type=PATH)
several_option = partial(click.option, multiple=True)
flag_option = partial(click.option, is_flag=True)
default_option = partial(click.option, show_default=True)
json_option = flag_option("--json", "as_json", help="Print one JSON object.")
open_option = flag_option("--open", "show", help="Show the page in the browser.")


def file_option(*names: str, mark: str, **described: Any) -> Callable[..., Any]:
    """Return the option of a file to write, which may replace only a file with the `mark` that this package's have."""

    def refuse_foreign(ctx: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
        if path is not None and is_foreign(path, mark):
            raise click.BadParameter(
                f"tngd-bench did not write {path}, and would replace it; name another file"
            )
        return path

    return path_option(*names, callback=refuse_foreign, **described)


def output_option(what: str, folder: str = "reports/NAME") -> Callable[..., Any]:
    """Return the option of the folder for `what`, by default named after the study and its profile."""
    return click.option(
        "--output", type=FOLDER, help=f"Folder for {what}.  [default: {folder}, or {folder}-PROFILE]"
    )


def print_json(content: object) -> None:
    """Print what --json asks for."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))
