"""Short names of optimizers for legends, tables and sentences: "TNGD (t = 5 τ)" for `tngd[analog_time=5]`."""

import re
from collections.abc import Mapping
from functools import lru_cache

from tngd_bench.analysis import quantities
from tngd_bench.analysis.setting_names import parameter_name
from tngd_bench.optimizers import registry
from tngd_bench.studies.file.optimizer_label import label_texts, read_value

SIGNS = {
    "analog_time": ("t", " τ"),
    "delay": ("t_d", " τ"),
    "noise_variance": ("κ₀", ""),
    "damping": ("λ", ""),
    "memory": ("μ", ""),
}
"""Settings with a sign of their own, and the unit behind their value."""
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def name(title: str, settings: Mapping[str, object]) -> str:
    """Return an optimizer's title with its `settings`, those of its label (`label_texts`), in brackets."""
    never_stops = read_value(str(settings.get("cg_rtol"))) == 0
    if never_stops:  # what is left to say is after how many iterations
        settings = {key: value for key, value in settings.items() if key not in ("cg_rtol", "cg_space")}
    words = [_words(key, value) for key, value in settings.items()]
    if not words:
        return title
    opening = f"{title[:-1]}, " if title.endswith(")") else f"{title} ("
    return f"{opening}{', '.join(words)})"


def without_tuned(title: str) -> str:
    """Return a title without "tuned", for where it is said of all: "Adam (ε = 1e-6)" of "Adam (tuned, ε = 1e-6)"."""
    return re.sub(r" \(tuned\)|(?<=\()tuned, |, tuned(?=[,)])", "", title)


def _words(key: str, value: object) -> str:
    if value is True:
        return parameter_name(key)
    sign, unit = SIGNS.get(key, (parameter_name(key), ""))
    text = str(value)
    if key in SIGNS and _NUMBER.fullmatch(text):
        text = quantities.level(float(text))
    return f"{text} iterations" if key == "cg_iterations" else f"{sign} = {text}{unit}"


def worded(text: str, titles: Mapping[str, str]) -> str:
    """Return `text` with every label in it replaced by its title: those of `titles`, else what is registered."""

    def title(found: re.Match[str]) -> str:
        label = found.group()
        method = label.partition("[")[0]
        return titles[label] if label in titles else name(registry.get(method).title, label_texts(label))

    return _labels(tuple(titles), registry.names()).sub(title, text)


@lru_cache(maxsize=8)
def _labels(titled: tuple[str, ...], methods: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of a label: one of those `titled`, or a method with settings."""
    registered = (
        rf"{re.escape(method)}(?:\[[^\[\]]*\])?" for method in sorted(methods, key=len, reverse=True)
    )
    labels = [*map(re.escape, sorted(titled, key=len, reverse=True)), *registered]
    return re.compile(rf"(?<![\w-])(?:{'|'.join(labels)})(?![\w\[-])")
