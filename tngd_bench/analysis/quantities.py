"""Numbers as people read them: seconds, bytes, counts, with three significant digits and a unit."""

import math
import re
from collections.abc import Iterable, Sequence

from tngd_bench.problems.metrics import Metric
from tngd_bench.spu.ledger import ITEM_NAMES

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PREFIXES = tuple((10.0 ** (3 * place - 12), sign) for place, sign in enumerate((*"pnµm", "", *"kMGTPE")))
_MINUTE, _HOUR, _DAY, _YEAR = 60.0, 3600.0, 86_400.0, 365.25 * 86_400.0
_BYTES = ((1.0, "B"), (2.0**10, "KiB"), (2.0**20, "MiB"), (2.0**30, "GiB"), (2.0**40, "TiB"))
NOT_MEASURED = "–"
_FEW = 5


def significant(value: float, digits: int = 3) -> str:
    """Return `value` with `digits` significant digits, without an exponent between 10⁻⁴ and 10⁶; NaN is "–"."""
    if math.isnan(value):
        return NOT_MEASURED
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if -4 <= magnitude < 6:
        text = f"{value:,.{max(digits - 1 - magnitude, 0)}f}"
    else:
        mantissa = f"{value / 10.0**magnitude:.{digits - 1}f}".rstrip("0").rstrip(".")
        text = power(magnitude) if mantissa == "1" else f"{mantissa}·{power(magnitude)}"
    return text.replace("-", "−")


def power(exponent: int) -> str:
    """Return 10 raised to `exponent`, written with superscript digits."""
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def level(value: float) -> str:
    """Return a value somebody chose, such as a swept level, with the digits it has and no others: 0.01, 10⁻⁴, 8.

    Two values that differ in their first 15 digits are written differently.
    """
    if not math.isfinite(value) or value == 0:
        return significant(value)
    if 1e-3 <= abs(value) < 1e6:
        short = float(f"{value:.6g}") == float(f"{value:.15g}")
        return (f"{value:,.6g}" if short else f"{value:,.15g}").replace("-", "−")
    short = float(f"{value:.2e}") == float(f"{value:.14e}")
    mantissa, exponent = (f"{value:.2e}" if short else f"{value:.14e}").split("e")
    mantissa = mantissa.rstrip("0").rstrip(".").replace("-", "−")
    scale = power(int(exponent))
    return scale if mantissa == "1" else f"{mantissa}·{scale}"


def seconds(value: float, digits: int = 3) -> str:
    """Return a duration in ps, ns, µs, ms, s, min, h, days or years, above s in two of a unit at least."""
    if not math.isfinite(value) or value == 0:
        return "0 s" if value == 0 else significant(value)
    scale, unit = _duration_unit(value, digits)
    return f"{significant(value / scale, digits)} {unit}"


def si(value: float, unit: str, digits: int = 3) -> str:
    """Return a quantity with a prefix from p to E."""
    if not math.isfinite(value) or value == 0:
        return f"0 {unit}" if value == 0 else significant(value)
    scale, prefix = _unit(value, _PREFIXES, digits)
    return f"{significant(value / scale, digits)} {prefix}{unit}"


def _duration_unit(value: float, digits: int = 3) -> tuple[float, str]:
    for scale, unit in ((_YEAR, "years"), (_DAY, "days"), (_HOUR, "h"), (_MINUTE, "min")):
        if abs(value) >= 2 * scale:
            return scale, unit
    scale, prefix = _unit(value, _PREFIXES[:5], digits)
    return scale, f"{prefix}s"


def memory(value: float) -> str:
    """Return a size given in bytes in B, KiB, MiB, GiB or TiB."""
    if not math.isfinite(value):
        return significant(value)
    scale, unit = _unit(value, _BYTES)
    return f"{significant(value / scale)} {unit}"


def joules(value: float) -> str:
    """Return an energy given in joules."""
    return si(value, "J")


def bit_rate(value: float) -> str:
    """Return a link rate given in bits per second, without zeros after the point; ∞ is "no rate"."""
    if value == math.inf:
        return "no rate"
    if 0 < value < 1:
        return "less than 1 b/s"  # millibits would read as megabits
    return si(value, "b/s").replace(".00 ", " ").replace(".0 ", " ")


def count(value: float) -> str:
    """Return a whole number with thousands separators; NaN is "–"."""
    return significant(value) if not math.isfinite(value) else f"{round(value):,}"


def number_of(number: int, thing: str) -> str:
    """Return "1 seed" or "3 seeds" for a `thing` whose plural ends in s."""
    return f"{count(number)} {thing}{'s' * (number != 1)}"


def percent(fraction: float) -> str:
    """Return a fraction as a percentage with at most one decimal."""
    if not math.isfinite(fraction):
        return significant(fraction)
    if 0 < fraction < 5e-4:
        return "<0.1 %"
    text = f"{100 * fraction:.1f}"
    return f"{text.removesuffix('.0')} %".replace("-", "−")


def metric(value: float, described: Metric) -> str:
    """Return a value of a metric: a share in percent, another with three significant digits."""
    return percent(value) if described.share else significant(value)


def listed(names: Sequence[str]) -> str:
    """Return at least one name as a list in a sentence: "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def few(names: Sequence[str]) -> str:
    """Return the first names of a list in a sentence, and how many more there are: "a, b and 3 more"."""
    return listed(names if len(names) <= _FEW else [*names[:_FEW], f"{len(names) - _FEW} more"])


def items(names: Iterable[str]) -> str:
    """Return the items of a bill (keys of a `Ledger`) in words, each once: "writing the cells, D/A conversion"."""
    return ", ".join(dict.fromkeys(ITEM_NAMES.get(name, name.replace("_", " ")) for name in names))


def span(low: float, high: float) -> str:
    """Return "[low, high]", the ends of what was measured."""
    return f"[{significant(low)}, {significant(high)}]"


WIDEST = 1e4
"""The factor between the ends of an interval, of what is positive, from which it determines nothing."""
WIDEST_EXPONENT = 2.0
"""The width from which an exponent's interval decides nothing between linear, quadratic and cubic growth."""
_NOT_DETERMINED = "[not determined]"


def interval(low: float, high: float) -> str:
    """Return "[low, high]", the ends of a confidence interval; "[not determined]" where they are far apart."""
    wide = WIDEST * low < high < math.inf if low > 0 else low == 0 and math.isinf(high)
    return _NOT_DETERMINED if wide else span(low, high)


def ratio(value: float, low: float, high: float) -> str:
    """Return "1.23× [1.20, 1.31]"; "–" where `value` is NaN."""
    return NOT_MEASURED if math.isnan(value) else f"{significant(value)}× {interval(low, high)}"


def exponent(value: float, low: float, high: float) -> str:
    """Return "1.05 [1.03, 1.06]": exponents are compared to the hundredth, whatever their size."""
    told = f"[{low:.2f}, {high:.2f}]" if high - low < WIDEST_EXPONENT else _NOT_DETERMINED
    return f"{value:.2f} {told}".replace("-", "−")


def _unit(value: float, units: tuple[tuple[float, str], ...], digits: int = 3) -> tuple[float, str]:
    # The largest unit that the rounded value fills, so that 999.9 µs reads 1.00 ms.
    fitting = [entry for entry in units if abs(value) >= entry[0] * (1 - 0.5 * 10.0**-digits)]
    return fitting[-1] if fitting else units[0]


def seconds_with_spread(median: float, low: float, high: float) -> str:
    """Return "1.23 ms [1.20, 1.31]": a median and two quantiles, in seconds, all in the unit of the median."""
    if not math.isfinite(median):
        return significant(median)
    scale, unit = _duration_unit(median)
    return f"{significant(median / scale)} {unit} {span(low / scale, high / scale)}"


def between_seconds(after: float, by: float) -> str:
    """Return "(80.0 ms, 100 ms]" for what was seen at `by` and not yet at `after`; "100 ms" where nothing is before."""
    return seconds(by) if not after >= 0 else f"({seconds(after)}, {seconds(by)}]"


def numeric_order(text: str) -> tuple[tuple[str, int], ...]:
    """Return a key that sorts texts with the numbers in them by size: "digits-b32" before "digits-b128"."""
    pieces = re.findall(r"(\D*)(\d*)", text)
    return tuple((words, int(digits or -1)) for words, digits in pieces)
