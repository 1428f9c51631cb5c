"""What the tests of whole runs share with the processes they start."""

import os
import signal

from tngd_bench.studies.work import run_in_worker


class Recorder:
    """An audience that remembers what it heard."""

    def __init__(self):
        self.prepared, self.begun, self.ended = [], [], []
        self.plan, self.pending = None, None

    def preparing(self, what):
        self.prepared.append(what)

    def planned(self, plan, pending):
        self.plan, self.pending = plan, list(pending)

    def started(self, trial):
        self.begun.append(trial)

    def finished(self, trial, entries):
        self.ended.append((trial, entries))


def study_text(table):
    """Write a study's table as TOML (what the tests use of it)."""
    lines = [f"{key} = {_value(value)}" for key, value in table.items() if isinstance(value, str)]
    lines += ["[execution]"] + [f"{key} = {_value(value)}" for key, value in table["execution"].items()]
    for kind in ("cost", "training"):
        for section in table[kind]:
            lines += [f"[[{kind}]]"] + [f"{key} = {_value(value)}" for key, value in section.items()]
    return "\n".join(lines) + "\n"


def _value(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


class _Deadly:
    """A connection that kills the process when it hears that it is ngd's turn, as the kernel does without memory."""

    def __init__(self, connection):
        self._connection = connection

    def send(self, message):
        self._connection.send(message)
        if message == ("turn", "ngd"):
            os.kill(os.getpid(), signal.SIGKILL)


def run_with_killer(trial, data, processors, connection):
    """Run a trial, dying at ngd's turn."""
    run_in_worker(trial, data, processors, _Deadly(connection))
