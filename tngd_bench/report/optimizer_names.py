"""Short names of optimizers for legends and sentences: "TNGD (t = 5 τ)" for `tngd[analog_time=5]`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tngd_bench.analysis import quantities
from tngd_bench.analysis.families import Kind

SIGNS = {
    "analog_time": ("t", " τ"),
    "delay": ("t_d", " τ"),
    "noise_variance": ("κ₀", ""),
    "damping": ("λ", ""),
}
"""Settings with a sign of their own, and the unit behind their value."""


def short_name(kind: Kind, also: Mapping[str, object] | None = None) -> str:
    """Return the name of an optimizer with what its label sets, and `also`, in brackets."""
    settings = label_settings(kind.label) | (also or {})
    if settings.get("cg_rtol") == "0":  # never stops early: what is left to say is after how many iterations
        settings = {name: value for name, value in settings.items() if name not in ("cg_rtol", "cg_space")}
    words = [setting_words(name, value) for name, value in settings.items()]
    title = kind.title.split(" [")[0]
    return f"{title} ({', '.join(words)})" if words else title


def label_settings(label: str) -> dict[str, object]:
    """Return what stands in a label's brackets: "tngd[delay=1]" gives {"delay": "1"}, "adam[tuned]" {"tuned": True}."""
    inside = label.partition("[")[2].removesuffix("]")
    pairs = [entry.partition("=") for entry in inside.split(", ") if entry]
    return {name: value if sign else True for name, sign, value in pairs}


def setting_words(name: str, value: object) -> str:
    """Return a setting in words: "t = 5 τ", "tuned", "200 iterations"."""
    if name in SIGNS:
        sign, unit = SIGNS[name]
        return f"{sign} = {quantities.level(float(str(value)))}{unit}"
    if value is True:
        return name
    if name == "cg_iterations":
        return f"{value} iterations"
    return f"{name} = {value}"


def worded(text: str, known: Mapping[str, Kind]) -> str:
    """Return `text` with every label of `known` that stands in it replaced by its short name."""
    if not known:
        return text
    labels = "|".join(re.escape(label) for label in sorted(known, key=len, reverse=True))
    return re.sub(rf"(?<![\w-])(?:{labels})(?![\w\[-])", lambda found: short_name(known[found.group()]), text)
