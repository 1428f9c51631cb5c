import json

import pytest

from tests.conftest import SHARED
from tests.tiny_encoder import write_questions
from tngd_bench.datasets import squad_text
from tngd_bench.datasets.finder import DataNotFoundError, FetchError
from tngd_bench.datasets.squad_text import TRAIN, load_questions


def test_a_file_gives_its_questions_in_one_fixed_order(tmp_path):
    path = write_questions(tmp_path / "q.json", repeat=5)
    found = load_questions("train", str(path), TRAIN)
    assert len(found.items) == 20
    assert found.items == load_questions("train", str(path), TRAIN).items
    assert [item.identity for item in found.items] != sorted(item.identity for item in found.items)
    assert all(q.context[q.starts[0] :].startswith(q.answers[0]) for q in found.items)
    assert len(found.first("train_size", 7)) == 7
    with pytest.raises(ValueError, match="train_size must be an integer >= 1 and <= 20, not 21"):
        found.first("train_size", 21)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "train = .* is not in SQuAD format"),
        ("[]", "not in SQuAD format"),
        ('{"data": []}', "holds no question with an answer"),
        (
            json.dumps(
                {
                    "data": [
                        {
                            "paragraphs": [
                                {
                                    "context": "abc",
                                    "qas": [
                                        {
                                            "id": "7",
                                            "question": "?",
                                            "answers": [{"text": "c", "answer_start": 1}],
                                        }
                                    ],
                                }
                            ]
                        }
                    ]
                }
            ),
            "question 7: 'c' is not at character 1",
        ),
    ],
)
def test_a_file_of_another_form_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        load_questions("train", str(path), TRAIN)


def test_a_missing_file_is_refused_with_what_is_accepted(tmp_path):
    with pytest.raises(
        ValueError, match=r"test = .*nowhere.json' cannot be read .*accepted: squad-v1.1, or the path"
    ):
        load_questions("test", str(tmp_path / "nowhere.json"), TRAIN)


def test_squad_without_network_and_cache_names_the_option(monkeypatch, cache):
    def fail(address):
        raise FetchError("no answer within 4 s")

    monkeypatch.setattr("tngd_bench.datasets.places.download", fail)
    with pytest.raises(DataNotFoundError) as caught:
        load_questions("train", squad_text.SQUAD, TRAIN)
    message = str(caught.value)
    assert "SQuAD v1.1 was not found" in message
    assert "no answer within 4 s" in message
    assert "set train in [problem.squad-lora] to any file in SQuAD format" in message
    assert "TNGD_BENCH_DATA" in message


def test_questions_without_an_answer_are_left_out(tmp_path):
    path = write_questions(tmp_path / "q.json")
    document = json.loads(path.read_text())
    document["data"][0]["paragraphs"][0]["qas"].append({"id": "z", "question": "?", "answers": []})
    path.write_text(json.dumps(document))
    assert "z" not in {item.identity for item in load_questions("train", str(path), TRAIN).items}


def test_real_questions_are_read():
    if not (SHARED / "qa").is_dir():
        pytest.skip("no questions in ../shared/data/qa beside the repository")
    sizes = {"new_wiki_v1.0.json": 7938, "xquad.en.json": 1190}
    for name, size in sizes.items():
        assert len(load_questions("train", str(SHARED / "qa" / name), TRAIN).items) == size
