"""Leave of a report what a repository keeps: `python -m benchmarks.kept_sample reports/paper`.

The page has every figure in it, so that of the files in `figures/` only those stay that `report.md` shows before its
appendix. Behind that, the text of a picture stands in its place, and the page has no link to its file.
`tngd-bench report` makes the rest again.
"""

import re
import sys
from pathlib import Path

from tngd_bench.atomic_write import write

_PICTURE = re.compile(r"!\[((?:[^\]\\]|\\.)*)\]\((figures/[^)]+)\)")
_LINK = re.compile(r'<a href="(figures/[^"]+)" download[^>]*>\w+</a>(?: · )?')
_LAST = "## Claims\n"
"""The last section before the appendix."""


def keep(folder: Path) -> int:
    """Remove the figures that no kept text shows; return how many are left. ValueError for a report without claims."""
    page = folder / "report.md"
    front, last, rest = page.read_text("utf-8").partition(_LAST)
    if not last:
        raise ValueError(f"{page} has no section {_LAST.strip()!r}")
    shown = {folder / match[2] for match in _PICTURE.finditer(front)}
    write(page, (front + last + _PICTURE.sub(r"*\1*", rest)).encode())
    html = folder / "index.html"
    text = html.read_text("utf-8")
    write(html, _LINK.sub(lambda link: link[0] if folder / link[1] in shown else "", text).encode())
    for file in (folder / "figures").iterdir():
        if file not in shown:
            file.unlink()
    return len(shown)


if __name__ == "__main__":
    print(f"{keep(Path(sys.argv[1]))} figures kept")
