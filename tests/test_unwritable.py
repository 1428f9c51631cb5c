import errno

import pytest

from tngd_bench.unwritable import cannot_be_written


def error_of(action):
    with pytest.raises((FileExistsError, FileNotFoundError, NotADirectoryError)) as caught:
        action()
    return caught.value


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_link_that_leads_nowhere_is_named_with_where_it_leads(tmp_path, below):
    (tmp_path / "out").symlink_to(tmp_path / "gone" / "x")
    place = tmp_path / "out" / below
    error = error_of(lambda: place.mkdir(parents=True, exist_ok=True))
    assert cannot_be_written(f"output {place}", place, error) == (
        f"output {place} cannot be written: {tmp_path / 'out'} is a link to {tmp_path / 'gone' / 'x'}, "
        "which does not exist"
    )


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path, below):
    (tmp_path / "out").write_text("")
    place = tmp_path / "out" / below
    error = error_of(lambda: place.mkdir(parents=True, exist_ok=True))
    assert (
        cannot_be_written("it", place, error)
        == f"it cannot be written: {tmp_path / 'out'} is a file, not a folder"
    )


def test_anything_else_is_what_the_system_says(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    assert cannot_be_written("it", tmp_path / "a", full) == "it cannot be written: No space left on device"
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert cannot_be_written("it", tmp_path / "link" / "a", full).endswith("No space left on device")
