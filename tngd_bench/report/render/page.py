"""The HTML page: one self-contained file that fetches nothing."""

import base64
import hashlib
import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from tngd_bench.report.document.formats import DATA_FILES, DEFAULT_FILES, FIGURE_FILES
from tngd_bench.report.document.outline import Contents
from tngd_bench.report.document.palette import palette
from tngd_bench.report.document.tables import Column
from tngd_bench.report.render.drawings import share_styles
from tngd_bench.studies.store.records import Records

Address = Callable[[str], str | None]
"""From a record's key to the address of its file, relative to the page; None for one without a file."""


def render(
    content: Contents,
    records: Records,
    drawings: Mapping[str, Markup],
    store: Address | None = None,
    beside: Mapping[str, Address] | None = None,
    trend: str = "",
    kinds: Collection[str] = DEFAULT_FILES,
) -> str:
    """Return the page; `drawings` holds the inline SVG of every chart by name. All other text is escaped.

    `store`: where the records that the page names lie, relative to it, to be linked; None: no links.
    `beside`: the same of the other studies that verdicts rest on, by the study's name on the page. `trend`: address of
    the speed of the code over its commits (see `build.trend_link`), "" for none. `kinds`: the files beside the page.
    """
    study, name = records.study, str(records.study.get("name", ""))
    return render_page(
        content,
        drawings,
        environment(store, {**({name: store} if store is not None else {}), **(beside or {})}),
        kinds,
        title=str(study.get("title") or study.get("name") or "Study"),
        name=name,
        version=str(study.get("version", "not stated")),
        started=str(records.environment.get("started") or "").replace("T", " ").replace("+00:00", " UTC"),
        trend=trend,
    )


def render_page(
    content: Contents,
    drawings: Mapping[str, Markup],
    templates: Environment | None = None,
    kinds: Collection[str] = DEFAULT_FILES,
    **header: str,
) -> str:
    """Return the page of `content`; `header`: title, name, version, started, trend."""
    script, css = (Markup(_asset(name)) for name in ("page.js", "style.css"))  # noqa: S704 (our own files)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = (templates or environment()).get_template("page.html.j2")
    given = dict.fromkeys(("started", "trend"), "") | header
    anchors = {each for one in content.every for each in (one.anchor, *(chart.name for chart in one.charts))}
    drawings, shared = share_styles(drawings)
    shown = {"content": content, "anchors": anchors, "drawings": drawings, "palette": palette()}
    shown["figure_kinds"], shown["data_kinds"] = (
        [kind for kind in every if kind in kinds] for every in (FIGURE_FILES, DATA_FILES)
    )
    return template.render(**given, **shown, script=script, css=css + shared, script_hash=f"sha256-{digest}")


def environment(store: Address | None = None, stores: Mapping[str, Address] | None = None) -> Environment:
    """Return the templates' environment: everything escaped, nothing undefined allowed; `stores` by study."""
    made = Environment(
        autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True, loader=FunctionLoader(_asset)
    )
    addresses = stores or {}
    made.filters |= {
        "sorting": sorting,
        "unbroken": unbroken,
        "data_block": data_block,
        "records": partial(record_links, store=store),
        "evidence": lambda cell, study: record_links(cell, addresses.get(study)),
    }
    return made


def sorting(cell: str, column: Column) -> Markup:
    """Return the attribute by which a cell is sorted; a number column's cell without a number goes last."""
    if not column.numeric:
        return Markup("")
    value = getattr(cell, "value", math.nan)
    if math.isnan(value):
        return Markup(" data-none")
    return Markup(' data-sort="{}"').format("Infinity" if math.isinf(value) else f"{value:.6g}")


_TOGETHER = re.compile(r"\S+ [=≤≥≈] [^\s<]+|\b\w-\w+|--[\w-]+")


def unbroken(text: str) -> Markup:
    """Return text in which no line ends within an equation, an option or a name such as L-BFGS."""
    return Markup(_TOGETHER.sub(r'<span class="unbroken">\g<0></span>', str(escape(text))))  # noqa: S704  # escaped


def data_block(data: object) -> Markup:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


_KEY = re.compile(r"[0-9A-Za-z_-]+")


def record_links(cell: str, store: Address | None = None) -> Markup:
    """Return the records of a cell ("FILE #0 #1, FILE #2"), each file a link to the stored one if `store` is given.

    Where all lie in one file, a packed store, that has one link.
    """
    entries = cell.split(", ")
    names = [entry.partition(" ")[0] for entry in entries]
    places = [store(name) if store is not None and _KEY.fullmatch(name) else None for name in names]
    if len(entries) > 1 and None not in places and len(set(places)) == 1:
        inside = Markup('in <a href="{}">one file</a>: {}').format(places[0], cell)
    else:
        pieces = (_linked(*each) for each in zip(entries, places, strict=True))
        inside = Markup(", ").join(pieces)
    if len(entries) == 1:
        return inside
    return Markup("<details><summary>{} records</summary>{}</details>").format(len(entries), inside)


def _linked(entry: str, place: str | None) -> Markup:
    name, _, numbers = entry.partition(" ")
    return escape(entry) if place is None else Markup('<a href="{}">{}</a> {}').format(place, name, numbers)


def _asset(name: str) -> str:
    return (files("tngd_bench.report.render") / "templates" / name).read_text(encoding="utf-8")
