"""The standard streams as a shell hands them over: closed, full, of any encoding, or with a reader that leaves."""

import errno
import io
import os
import sys

READER_GONE = 141
"""Exit code where the reader of the output left: 128 + SIGPIPE, as of any program in a shell's pipe."""
_STANDARD = 3  # descriptors 0 to 2


class _Output(io.TextIOWrapper):
    """Standard output that remembers why it could not be written."""

    failure: OSError | None = None

    def write(self, text: str, /) -> int:
        """Write text; remember a failure."""
        try:
            return super().write(text)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        """Write out what is held back; remember a failure."""
        try:
            super().flush()
        except OSError as error:
            self.failure = error
            raise


def prepare() -> None:
    """Open what is closed, and let signs that an output's encoding lacks be written as escapes.

    A closed descriptor would be given to the next file opened, and what is printed would go into that file.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < _STANDARD:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123  # until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout is sys.__stdout__:
        sys.stdout = _watched(sys.stdout)


def _watched(stream: io.TextIOWrapper) -> _Output:
    # Read first: a detached stream has none of these.
    encoding, errors = stream.encoding, stream.errors
    lines, through = stream.line_buffering, stream.write_through
    return _Output(stream.detach(), encoding, errors, line_buffering=lines, write_through=through)


def failure() -> OSError | None:
    """Return why stdout could not be written, None where it could; what is held back is written out first."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    return sys.stdout.failure if isinstance(sys.stdout, _Output) else None


def give_up() -> None:
    """Drop what a stream still holds and cannot write, so that Python's own flush at the end does not fail again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def reader_is_gone(error: OSError) -> bool:
    """Return whether writing failed for the reader of a pipe having left."""
    return error.errno == errno.EPIPE
