import gzip
import hashlib
import warnings
from pathlib import Path

import pytest

from tngd_bench.datasets import fashion_mnist, finder, mnist
from tngd_bench.datasets.finder import DataFile, DataNotFoundError, FetchError, Place, find, folder

CONTENT = {"images": b"some images", "labels": b"some labels"}
FILES = [
    DataFile(name, hashlib.sha256(content).hexdigest(), len(content)) for name, content in CONTENT.items()
]


class Source:
    """A place that gives `content` and counts how often it was asked, and for what."""

    def __init__(self, name, content=None, failure=None):
        self.content, self.failure, self.asked = content or {}, failure, []
        self.place = Place(name, self.fetch)

    def fetch(self, names):
        self.asked.append(tuple(names))
        if self.failure:
            raise FetchError(self.failure)
        return {name: self.content[name] for name in names if name in self.content}


def looked_for(*sources):
    return find("TOY", FILES, "toy", [source.place for source in sources])


def test_the_first_place_wins_and_fills_the_cache(cache):
    first, second = Source("first", CONTENT), Source("second", CONTENT)
    found = looked_for(first, second)
    assert found.contents == CONTENT
    assert found.source == "first"
    assert second.asked == []
    assert {path.name: path.read_bytes() for path in (cache / "toy").iterdir()} == CONTENT


def test_the_cache_is_asked_before_any_other_place(cache):
    looked_for(Source("first", CONTENT))
    never = Source("never", CONTENT)
    found = looked_for(never)
    assert found.contents == CONTENT
    assert found.source == str(cache / "toy")
    assert never.asked == []


def test_corrupted_bytes_are_refused_and_the_next_place_is_asked_for_them_alone(cache):
    bad, good = Source("bad", {**CONTENT, "labels": b"other"}), Source("good", CONTENT)
    found = looked_for(bad, good)
    assert found.contents == CONTENT
    assert found.source == "bad, good"
    assert good.asked == [("labels",)]
    assert (cache / "toy" / "labels").read_bytes() == CONTENT["labels"]


def test_a_bad_cached_file_is_set_aside_with_a_warning_and_fetched_again(cache):
    looked_for(Source("first", CONTENT))
    (cache / "toy" / "labels").write_bytes(b"half")
    again = Source("again", CONTENT)
    with pytest.warns(UserWarning, match=r"labels has SHA-256 .*set aside as labels.bad"):
        found = looked_for(again)
    assert found.contents == CONTENT
    assert again.asked == [("labels",)]
    assert (cache / "toy" / "labels").read_bytes() == CONTENT["labels"]
    assert (cache / "toy" / "labels.bad").read_bytes() == b"half"
    (cache / "toy" / "labels").write_bytes(b"again")
    with pytest.warns(UserWarning, match="set aside as labels-2.bad"):
        looked_for(again)
    assert (cache / "toy" / "labels.bad").read_bytes() == b"half"


def test_a_failure_names_every_place_and_the_way_by_hand(cache):
    closed, wrong = Source("mirror", failure="no answer within 4 s"), Source("index", {"images": b"?"})
    with pytest.raises(DataNotFoundError) as caught:
        looked_for(closed, wrong)
    message = str(caught.value)
    assert "mirror: no answer within 4 s" in message
    assert "index: images has SHA-256" in message
    assert f"{cache / 'toy'}: no such files" in message
    assert "set TNGD_BENCH_DATA to that folder" in message
    assert [place for place, _ in caught.value.attempts] == [
        str(cache / "toy"),
        str(cache),
        "mirror",
        "index",
    ]
    assert not cache.exists()


def test_where_is_looked_for_what_and_why_a_place_has_nothing_is_told_as_it_goes(cache, caplog):
    caplog.set_level("INFO", "tngd_bench.datasets")
    looked_for(
        Source("mirror", failure="no answer"), Source("index", {"images": b"?"}), Source("last", CONTENT)
    )
    told = [record.getMessage() for record in caplog.records]
    named = "TOY (images, labels; 0.0 MB)"
    assert [line for line in told if line.startswith("looking")] == [
        f"looking for {named} at {place}" for place in ("mirror", "index", "last")
    ]
    assert told[1] == "mirror: no answer"
    assert told[3].startswith("index: images has SHA-256")
    caplog.clear()
    looked_for(Source("never", CONTENT))
    assert not caplog.records


def test_the_sizes_told_are_those_of_the_formats():
    """An IDX file has a head of 4 bytes and 4 for each dimension, then a byte a value."""
    for samples, images, labels in ((60_000, *mnist.FILES[:2]), (10_000, *mnist.FILES[2:])):
        assert images.size == 4 + 3 * 4 + samples * 28 * 28
        assert labels.size == 4 + 4 + samples
    assert [file.size for file in fashion_mnist.FILES] == [file.size for file in mnist.FILES]


@pytest.mark.parametrize("subfolder", ["", "toy"])
@pytest.mark.parametrize("packed", [False, True])
def test_files_given_by_hand_are_found(cache, subfolder, packed):
    directory = cache / subfolder
    directory.mkdir(parents=True)
    for name, content in CONTENT.items():
        (directory / (f"{name}.gz" if packed else name)).write_bytes(
            gzip.compress(content) if packed else content
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert looked_for().contents == CONTENT


def test_a_broken_gzip_is_passed_over_with_a_warning(cache):
    (cache / "toy").mkdir(parents=True)
    (cache / "toy" / "images.gz").write_bytes(gzip.compress(CONTENT["images"])[:-9])
    with pytest.warns(UserWarning, match="images cannot be read"):
        assert looked_for(Source("first", CONTENT)).contents == CONTENT


def test_a_cache_that_cannot_be_written_is_said_and_the_data_still_given(cache):
    cache.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="cannot be kept in .*fetched again"):
        assert looked_for(Source("first", CONTENT)).contents == CONTENT


def test_an_interrupted_write_leaves_no_file(cache, monkeypatch):
    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.warns(UserWarning, match="disk full"):
        looked_for(Source("first", CONTENT))
    assert list((cache / "toy").iterdir()) == []


def test_a_missing_folder_has_nothing(tmp_path):
    assert folder(tmp_path / "absent").fetch(["images"]) == {}


def test_the_cache_is_the_user_cache_unless_told(monkeypatch):
    monkeypatch.delenv("TNGD_BENCH_DATA", raising=False)
    assert finder.cache_directory().name == "tngd-bench"
    monkeypatch.setenv("TNGD_BENCH_DATA", "~/elsewhere")
    assert finder.cache_directory().is_absolute()
    assert finder.cache_directory().name == "elsewhere"


def test_a_user_without_a_home_gets_no_folder_called_tilde(monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", finder.CACHE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 123_456_789)
    assert finder.cache_directory().is_absolute()
    assert finder.user_path("~absent-user/x") == Path("~absent-user/x")
