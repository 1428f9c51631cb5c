import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.datasets.splits import DataSplits, Subset, hold_out, take, with_content_checksum
from tngd_bench.problems.scores import classification
from tngd_bench.studies.run import data_files
from tngd_bench.studies.run.data_files import read_splits, write_splits


@pytest.fixture
def named():
    """Six training samples by name, with texts beside them."""
    inputs = {"ids": torch.arange(12).view(6, 2), "mask": torch.ones(6, 2)}
    references = {"text": [f"t{k}" for k in range(6)], "place": torch.arange(6)}
    test = {name: values[:2] for name, values in inputs.items()}
    return DataSplits(
        inputs, torch.arange(6), test, torch.arange(2), "c", "made", references, {"text": ["a", "b"]}
    )


def test_samples_are_taken_by_name_and_by_number(named):
    taken = take(named.train_inputs, torch.tensor([4, 1]))
    assert taken["ids"].tolist() == [[8, 9], [2, 3]]
    assert take(torch.arange(5), slice(2)).tolist() == [0, 1]


def test_parts_keep_texts_beside_their_samples(named):
    part = named.train().cut(slice(2, 4))
    assert len(part) == 2
    assert part.references["text"] == ["t2", "t3"]
    assert part.references["place"].tolist() == part.targets.tolist() == [2, 3]
    assert len(named.train(3)) == 3
    assert named.test().references["text"] == ["a", "b"]


def test_a_held_out_part_takes_its_texts_along(named):
    held = hold_out(named, 0.34)
    assert held.train_targets.tolist() == [0, 1, 2, 3]
    assert held.test_targets.tolist() == [4, 5]
    assert held.test_references["text"] == ["t4", "t5"]
    assert held.train_references["text"] == ["t0", "t1", "t2", "t3"]
    assert held.test_inputs["ids"].tolist() == [[8, 9], [10, 11]]


def test_a_file_gives_back_what_was_written(named, tmp_path):
    write_splits(named, tmp_path / "x.pt")
    found = read_splits(tmp_path / "x.pt")
    assert found.train_references["text"] == named.train_references["text"]
    assert torch.equal(found.train_inputs["ids"], named.train_inputs["ids"])


def test_a_classification_s_score_is_loss_and_share_right():
    outputs = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 3.0], [0.0, 5.0, 0.0], [1.0, 0.0, 0.0]])
    targets = torch.tensor([0, 1, 1, 2])
    found = classification(torch.nn.CrossEntropyLoss(), outputs, Subset(outputs, targets))
    each = torch.logsumexp(outputs, 1) - outputs[torch.arange(4), targets]
    assert found["accuracy"] == 0.5
    assert found["loss"] == pytest.approx(float(each.mean()))


def splits(size):
    numbers = torch.arange(size)
    return DataSplits(
        numbers[:, None].float(), numbers, -torch.ones(3, 1), -torch.ones(3, dtype=torch.int64), "c", "s"
    )


@given(st.integers(2, 200), st.floats(0.001, 0.999))
def test_both_sides_together_are_the_training_data_in_order(size, share):
    held = hold_out(splits(size), share)
    assert torch.cat([held.train_targets, held.test_targets]).tolist() == list(range(size))
    assert torch.cat([held.train_inputs, held.test_inputs]).flatten().tolist() == list(range(size))
    assert len(held.train_targets) >= 1
    assert len(held.test_targets) >= 1
    assert abs(len(held.test_targets) - share * size) <= 1


def test_the_share_is_that_of_the_training_samples():
    assert len(hold_out(splits(10_000), 0.2).test_targets) == 2_000


@pytest.mark.parametrize(("size", "share"), [(10, 0.0), (10, 1.0), (1, 0.5)])
def test_what_cannot_be_split_is_refused(size, share):
    with pytest.raises(ValueError, match="validation"):
        hold_out(splits(size), share)


X, Y = torch.arange(6.0).reshape(3, 2), torch.tensor([0, 1, 0])
CONTENT = {
    "train_inputs": {"a": X, "b": X + 1},
    "train_targets": Y,
    "test_inputs": {"a": X, "b": X},
    "test_targets": Y,
    "checksum": "always the same",
    "source": "somewhere",
    "train_references": {"texts": ["one", "two", "three"]},
}


@pytest.mark.parametrize(
    "changed",
    [
        {"train_inputs": {"b": X, "a": X + 1}},
        {"train_inputs": {"a": X, "b": X + 2}},
        {"train_inputs": {"a": X.reshape(2, 3), "b": X + 1}},
        {"train_targets": Y.int()},
        {"test_targets": 1 - Y},
        {"train_references": {"texts": ["one", "two", "four"]}},
        {"train_references": None, "test_references": CONTENT["train_references"]},
        {"checksum": "another"},
    ],
)
def test_the_checksum_of_the_content_is_of_all_of_it(changed):
    before = with_content_checksum(DataSplits(**CONTENT)).checksum
    assert with_content_checksum(DataSplits(**CONTENT | {"source": "elsewhere"})).checksum == before
    assert with_content_checksum(DataSplits(**CONTENT | changed)).checksum != before


def test_an_outside_problem_cannot_give_other_data_under_one_checksum(monkeypatch):
    read = []

    class Outside:
        def load(self, *asked):
            read.append(asked)
            return DataSplits(**CONTENT | {"test_targets": Y + len(read)})

    monkeypatch.setattr(data_files.problems, "get", lambda name, options: Outside())
    monkeypatch.setattr(data_files.problems, "origin", {"theirs": "an entry point"}.get)
    theirs, ours = (data_files.DataRequest(name, None, None, "float32") for name in ("theirs", "ours"))
    assert len({data_files.load_request(theirs).checksum for _ in range(2)}) == 2
    assert data_files.load_request(ours).checksum == CONTENT["checksum"]
