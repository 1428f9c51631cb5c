"""Where the processes of a study meet."""

import ast
import os
import subprocess
import sys
import tempfile
from multiprocessing import process, util

import pytest

from tngd_bench.studies.errors import EngineError
from tngd_bench.studies.run import worker_process


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A function that makes a folder whose path has so many bytes and puts it in TMPDIR's place."""
    monkeypatch.setitem(process.current_process()._config, "tempdir", None)

    def make(length):
        place = tmp_path / "ü"
        while (left := length - len(os.fsencode(place)) - 1) > 0:
            place /= "x" * min(left, 100)
        place.mkdir(parents=True)
        monkeypatch.setattr(tempfile, "tempdir", str(place))
        return str(place)

    return make


@pytest.mark.parametrize("length", [200, 400])
def test_sockets_have_short_paths_and_other_files_stay_in_a_long_tmpdir(temporary, length):
    given = temporary(length)
    worker_process._use_short_socket_paths()
    assert len(os.fsencode(util.get_temp_dir())) + len("/listener-xxxxxxxx") <= 107
    assert tempfile.gettempdir() == given


def test_without_a_short_folder_one_is_asked_for(temporary, monkeypatch):
    temporary(200)
    monkeypatch.setattr(worker_process, "_SHORT_FOLDERS", ("/absent",))
    with pytest.raises(EngineError, match="TMPDIR is too long for sockets"):
        worker_process._use_short_socket_paths()


TOLD = """
from tests.studies.run.worker_start import tell_start
from tngd_bench.studies.run import worker_process
print(worker_process.call_in_worker(worker_process.worker_context(), tell_start, ()))
"""


def test_a_worker_begins_with_registries_read_nothing_old_to_search_for_garbage_and_no_pandas():
    # In a process of its own: the server of this one may have been started by a test that had an outside package.
    done = subprocess.run([sys.executable, "-c", TOLD], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    set_aside, collecting, read, pandas = ast.literal_eval(done.stdout)
    assert set_aside > 10_000
    assert collecting
    assert read == [1, 1]
    assert not pandas


FROM_A_FOLDER = """
from tngd_bench.studies.errors import EngineError
from tngd_bench.studies.run import worker_process
worker_process.PRELOADED = {modules!r}
import own
try:
    print(worker_process.call_in_worker(worker_process.worker_context(), own.answer, ()))
except EngineError as error:
    print(error)
"""
ANSWER = (
    "import os\ndef answer(connection):\n    connection.send(('done', os.environ.get('PYTHONSAFEPATH')))\n"
)


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        (("timeit",), "None"),
        (("this_one_ends",), "the server of worker processes ended; what it printed says why"),
    ],
)
def test_files_named_like_modules_of_python_do_not_end_the_server_and_its_end_is_told(
    tmp_path, modules, said
):
    program, folder = tmp_path / "program", tmp_path / "folder"
    program.mkdir()
    folder.mkdir()
    for name in ("timeit", "socket", "signal"):
        (folder / f"{name}.py").write_text("raise RuntimeError('not this one')\n")
    (program / "own.py").write_text(ANSWER)
    (program / "run.py").write_text(FROM_A_FOLDER.format(modules=modules))
    (tmp_path / "this_one_ends.py").write_text("raise RuntimeError('the end')\n")
    done = subprocess.run(
        [sys.executable, str(program / "run.py")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == said, done.stderr
