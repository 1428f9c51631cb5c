"""Where the processes of a study meet."""

import os
import tempfile
from multiprocessing import process, util

import pytest

from tests.studies.recorder import tell_start
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


def test_a_worker_begins_with_registries_read_and_nothing_old_to_search_for_garbage():
    context = worker_process.worker_context()
    set_aside, read = worker_process.call_in_worker(context, tell_start, ())
    assert set_aside > 10_000
    assert read == [1, 1]
