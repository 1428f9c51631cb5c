"""Workers do not run the script that starts them: without a guard, from standard input, as the docs have it."""

import contextlib
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tngd_bench.studies.run.main_module import without_main_module

DOCS = Path(__file__).parents[3] / "docs" / "plugins.md"
STARTS = """
import multiprocessing
from tngd_bench.studies.run.main_module import without_main_module
print("the script runs", flush=True)
with without_main_module():
    process = multiprocessing.get_context("forkserver").Process(target=print, args=("started",))
    process.start()
process.join()
print("exit code", process.exitcode)
"""
STUDY = """
name = "my_study"
title = "Mine"
plugins = ["my_method.py"]
[[training]]
name = "digits"
problem = "digits-mlp"
parameters = 500
train_size = 64
test_size = 16
epochs = 1
evaluations = 1
seeds = 1
optimizers = ["my_method"]
"""


def python(*words, folder, **options):
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        **options,
    )


@pytest.mark.parametrize("stdin", [False, True])
def test_a_script_without_a_guard_is_run_once_and_may_come_from_standard_input(tmp_path, stdin):
    (tmp_path / "script.py").write_text(STARTS)
    done = python("-", folder=tmp_path, input=STARTS) if stdin else python("script.py", folder=tmp_path)
    assert done.stdout.splitlines() == ["the script runs", "started", "exit code 0"], done.stderr
    assert done.stderr == ""


def test_the_main_module_is_back_whatever_happens_in_any_thread():
    main = sys.modules["__main__"]
    seen = []

    def enter():
        with contextlib.suppress(ZeroDivisionError), without_main_module():
            seen.append(sys.modules["__main__"] is main)
            raise ZeroDivisionError

    threads = [threading.Thread(target=enter) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [False] * 20
    assert sys.modules["__main__"] is main


@pytest.mark.slow(reason="two studies each, with torch loaded anew")
@pytest.mark.parametrize("guarded", [True, False])
def test_the_example_of_the_docs_is_a_script(tmp_path, guarded):
    (example,) = re.findall(r"## In Python\n\n```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    guard = 'if __name__ == "__main__":'
    assert guard in example
    (tmp_path / "script.py").write_text(example if guarded else example.replace(guard, "if True:"))
    (tmp_path / "my_study.toml").write_text(STUDY)
    done = python("-m", "tngd_bench", "new", "optimizer", "my_method", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    done = python("script.py", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "[6/6] training digits: " in done.stdout
