"""Steps before timed ones: short steps are timed in groups, after untimed steps that fill the caches they need."""

SHORT_STEP_S, VERY_SHORT_STEP_S = 0.02, 0.002
SETTLING_STEPS = 5
"""Untimed steps before very short ones are timed; before short ones it is one. After one, a step of 0.3 ms that follows
K-FAC's still takes 5 % longer than the same that follows its like. With the timed ones they are seven, no divisor of
the periods of periodic work."""
TIMED_STEPS = 2
"""Steps timed in a group of short ones."""
LONG_CYCLE_S = 5.0
"""A cycle longer than this is not made step by step: a step of each kind is, and weighs as often as it occurs."""
WARM_UP_SAMPLES = 2
"""Samples of an optimizer's first step, which loads all code."""


def is_short(seconds: float) -> bool:
    """Return whether what is timed at once takes so few `seconds` that cold caches would show."""
    return seconds < SHORT_STEP_S


def settling_steps(seconds: float) -> int:
    """Return the untimed steps before steps of so many `seconds` are timed."""
    return SETTLING_STEPS if seconds < VERY_SHORT_STEP_S else int(is_short(seconds))
