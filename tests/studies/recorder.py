"""What the tests of whole runs share with the processes they start."""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from tngd_bench.measure.step_limit import Deadline
from tngd_bench.studies.run.run_trial import run_in_worker


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


class Teller(Recorder):
    """An audience that prints the number of trials when planned, and each one's key when it is in the store."""

    def planned(self, plan, pending):
        super().planned(plan, pending)
        print("planned", len(pending), flush=True)

    def finished(self, trial, entries):
        print("finished", flush=True)


def run_and_tell(study, output):
    """Run a study file without a report, telling of the progress on stdout."""
    from tngd_bench.studies.file.reading import load_study
    from tngd_bench.studies.run.run_study import run_study

    run_study(load_study(study), Path(output), Teller())
    print("whole", flush=True)


def study_text(table):
    """Write a study's table as TOML (what the tests use of it)."""
    lines = [f"{key} = {_value(value)}" for key, value in table.items() if isinstance(value, str)]
    lines += ["[execution]"] + [f"{key} = {_value(value)}" for key, value in table["execution"].items()]
    for name, settings in table.get("optimizer", {}).items():
        lines += [f"[optimizer.{name}]"] + [f"{key} = {_value(value)}" for key, value in settings.items()]
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


class _Greedy:
    """A connection that takes 1.5 GB when it hears that it is ngd's turn, and holds them."""

    def __init__(self, connection):
        self._connection = connection

    def send(self, message):
        self._connection.send(message)
        if message == ("turn", "ngd"):
            held = bytearray(b"x") * 1_500_000_000
            time.sleep(60)
            del held


def run_with_glutton(trial, data, processors, connection):
    """Run a trial, taking all memory at ngd's turn."""
    run_in_worker(trial, data, processors, _Greedy(connection))


def glutton_with_child(connection):
    """Start a process that takes 1.5 GB, and wait for it."""
    code = "held = bytearray(b'x') * 1_500_000_000; import time; time.sleep(60)"
    subprocess.run([sys.executable, "-c", code], check=True)


def tell_processors(trial, data, processors, connection):
    """Send where a trial is bound to, and how many threads it computes with, in place of a result."""
    run_in_worker(trial, data, processors, _Silent())
    found = {"asked": sorted(processors or ()), "bound": sorted(os.sched_getaffinity(0))}
    connection.send(("failed", json.dumps(found | {"threads": torch.get_num_threads()})))


class _Silent:
    def send(self, message):
        pass


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


def die_and_leave_a_child(connection):
    """Start a process that holds the connection open, tell its number, and end without a result."""
    code = "import time; time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], pass_fds=[connection.fileno()])
    connection.send(("turn", child.pid))
    os._exit(3)


def die(connection):
    """End as a process does that the kernel kills."""
    os.kill(os.getpid(), signal.SIGKILL)


def fill_and_free(prepare, connection):
    """Send the pages that the system gave while three blocks of 12 MiB were filled and freed, again and again."""
    library, size = ctypes.CDLL(None), 12 * 2**20
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    prepare()
    given = []
    for _ in range(8):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [library.malloc(size) for _ in range(3)]
        for block in blocks:
            ctypes.memset(block, 1, size)
        for block in blocks:
            library.free(block)
        given.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    connection.send(("done", given))


def announce_and_hang(connection):
    """Announce the deadline of a step, take it back, announce another, and go beyond that one."""
    connection.send(("turn", "mine"))
    connection.send(("steps", Deadline(0.05, "of a step that ended", 1.0)))
    connection.send(("steps", None))
    time.sleep(0.5)
    connection.send(("turn", "yours"))
    connection.send(("steps", Deadline(0.05, "stopped after more than 7 s per iteration", 7.0)))
    time.sleep(600)
