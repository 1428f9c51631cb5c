"""The limit on the steps of an optimizer whose cost nothing describes, so that no plan could tell how long they take.

A step beyond the limit ends the optimizer's turn. The first one also loads, sets up and compiles, so the next one is
judged. What goes on for `PATIENCE` times the limit is stopped from outside, the first step too.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PATIENCE = 3.0


@dataclass(frozen=True)
class Deadline:
    """Time for some steps: `seconds` from now. Beyond it they are stopped with `reason`.

    An iteration has then taken `least_step_s` seconds at least.
    """

    seconds: float
    reason: str
    least_step_s: float


class SlowStepError(RuntimeError):
    """A step took longer than its limit; `seconds` are those of an iteration."""

    def __init__(self, seconds: float, limit: float) -> None:
        super().__init__(f"took {seconds:.3g} s per iteration, limit {limit:g} s")
        self.seconds = seconds


@dataclass(frozen=True)
class StepLimit:
    """At most `seconds` per iteration; `announce` is called with a deadline before steps, and with None after them."""

    seconds: float
    announce: Callable[[Deadline | None], None]

    @contextmanager
    def around(self, steps: int) -> Iterator[None]:
        """Announce the deadline of the `steps` made inside the block."""
        least = PATIENCE * self.seconds
        reason = f"stopped after more than {least:.3g} s per iteration, limit {self.seconds:g} s"
        self.announce(Deadline(steps * least, reason, least))
        try:
            yield
        finally:
            self.announce(None)

    def check(self, seconds: float) -> None:
        """Raise SlowStepError where an iteration took more `seconds` than the limit."""
        if seconds > self.seconds:
            raise SlowStepError(seconds, self.seconds)
