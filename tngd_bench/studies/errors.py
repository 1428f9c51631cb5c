"""Errors of studies and stores, each one line that a user can act on."""


class StudyError(ValueError):
    """A study file, an override or a combination of settings that cannot be run; nothing was written."""

    def __init__(self, message: str) -> None:
        # Keys and values quoted from a file may hold line breaks and control characters; the message is one line.
        line = " ".join(message.split())
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line))


class StoreError(RuntimeError):
    """A results store that cannot be used as asked."""


class StoreWriteError(StoreError):
    """Results could not be written in the middle of a run; what was stored before is intact."""


class EngineError(RuntimeError):
    """The processes or machines that run trials were lost; what was stored is intact."""
