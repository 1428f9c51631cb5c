"""Kinds of options that several verbs have."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

PATH, FILE = click.Path(path_type=Path), click.Path(path_type=Path, dir_okay=False)
path_option = partial(click.option, type=PATH)
several_option = partial(click.option, multiple=True)
flag_option = partial(click.option, is_flag=True)
default_option = partial(click.option, show_default=True)
json_option = flag_option("--json", "as_json", help="Print one JSON object.")
open_option = flag_option("--open", "show", help="Show the page in the browser.")


def output_option(what: str, folder: str = "reports/NAME") -> Callable[..., Any]:
    """Return the option of the folder for `what`, by default named after the study and its profile."""
    return path_option("--output", help=f"Folder for {what}.  [default: {folder}, or {folder}-PROFILE]")


def print_json(content: object) -> None:
    """Print what --json asks for."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))
