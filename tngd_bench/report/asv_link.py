"""The link from the report to asv's page, which has the code's own speed over its commits."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

SETTING = "TNGD_BENCH_TREND"
PUBLISHED = Path(".asv", "html", "index.html")
_REGRESSIONS = "#/regressions"


def trend_link(
    output: Path, directory: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Return the address of asv's regressions for a page in `output`, "" where none is published.

    The setting `TNGD_BENCH_TREND`, an http(s) address or the path of asv's page, comes first; else it is
    `.asv/html/index.html` under `directory` (default: the working directory), where `asv publish` writes it.
    ValueError where the setting is neither.
    """
    given = (os.environ if environment is None else environment).get(SETTING, "").strip()
    if re.match(r"https?://", given):
        return given if "#" in given else given + _REGRESSIONS
    page = Path(given) if given else (directory or Path.cwd()) / PUBLISHED
    if given and not page.is_file():
        raise ValueError(
            f"{SETTING} must be an http(s) address or the path of asv's index.html, not {given!r}"
        )
    if not page.is_file():
        return ""
    return Path(os.path.relpath(page.resolve(), output.resolve())).as_posix() + _REGRESSIONS
