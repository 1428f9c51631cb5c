"""The verdict on a predicted device, in a sentence."""

from __future__ import annotations

from tngd_bench.analysis import quantities
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.roofline import Prediction
from tngd_bench.spu.billing import PRICED_BY
from tngd_bench.spu.ledger import ITEM_NAMES

HOST = "the host's passes"
"""Their time is a lower bound."""


def device_verdict(p: Prediction) -> str:
    """Return whether the device is ahead of the quickest second-order digital optimizer, what takes longest, and why.

    Times of processors are lower bounds, so that a lead is one of bounds.
    """
    if p.processor is None:
        return "not told: digital times need a processor, which --processor names"
    if p.host_seconds is None:
        return f"does not run: the host lacks {quantities.si(p.host_missing_bytes, 'B')} of memory"
    rival, taken = p.best_rival, p.iteration_at_least_seconds
    if rival is None or rival.seconds is None or taken is None:
        return f"no rival: no digital second-order optimizer fits the memory of {p.processor.title}"
    against = f"than {registry.get(rival.name).title} on {p.processor.title}"
    device, digital = (f"≥ {quantities.seconds(each)}" for each in (taken, rival.seconds))
    if taken < rival.seconds:
        unstated = (
            f", with no time for {quantities.items(p.seconds.not_stated)}" if p.seconds.not_stated else ""
        )
        ahead = quantities.significant(rival.seconds / taken)
        return f"worth a closer look: {ahead} times faster {against} ({device} against {digital}){unstated}"
    part, longest = max(parts(p).items(), key=lambda item: item[1])
    rate = rival.break_even_bits_per_s
    remedy = (
        "no link is enough" if rate is None else f"a link of {quantities.bit_rate(rate)} would be as fast"
    )
    return (
        f"not worth building at this size: {quantities.significant(taken / rival.seconds)} times slower {against} "
        f"({device} against {digital}); the longest part, {part}, takes "
        f"{'≥ ' if part == HOST else ''}{quantities.seconds(longest)}, {remedy}"
    )


def parts(p: Prediction) -> dict[str, float]:
    """Return the seconds of an iteration by what takes them: the host's passes, the link, other items in words."""
    found = {HOST: p.host_seconds or 0.0}
    for name, seconds in p.seconds.items.items():
        on_link = PRICED_BY.get(name) == "link_energy_j_per_bit"
        part = "the link" if on_link else ITEM_NAMES[name]
        found[part] = found.get(part, 0.0) + (seconds or 0.0)
    return found
