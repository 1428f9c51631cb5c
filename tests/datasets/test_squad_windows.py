import itertools
from importlib.util import find_spec

import pytest
import torch

from tests.tiny_encoder import TEXTS, write_encoder
from tngd_bench.datasets.squad_text import Question
from tngd_bench.datasets.squad_windows import NOWHERE, make_windows, token_spans

# looked for, not imported: every worker collects this file, and one runs it
pytestmark = pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(write_encoder(tmp_path_factory.mktemp("encoder")))


def questions():
    return [Question(str(k), q, c, (a,), (c.index(a),)) for k, (c, q, a) in enumerate(TEXTS)]


@pytest.mark.parametrize("length", [32, 48, 128])
def test_targets_point_at_the_answer_s_own_characters(tokenizer, length):
    items = questions()
    windows = make_windows(tokenizer, items, length, 0.25)
    assert windows.inputs["input_ids"].shape == windows.offsets.shape[:2] == (len(windows.question), length)
    assert windows.question.tolist() == sorted(windows.question.tolist())
    found = set()
    for offsets, (first, last), number in zip(
        windows.offsets.tolist(), windows.targets.tolist(), windows.question.tolist(), strict=True
    ):
        if first == NOWHERE:
            continue
        found.add(number)
        item = items[number]
        assert item.context[offsets[first][0] : offsets[last][1]] == item.answers[0]
    assert found == set(range(len(items)))


def test_windows_of_one_context_overlap_and_cover_it(tokenizer):
    (item,) = questions()[2:3]
    windows = make_windows(tokenizer, [item], 48, 0.25)
    assert len(windows.question) > 1
    covered = [{(a, z) for a, z in row if a >= 0} for row in windows.offsets.tolist()]
    for before, after in itertools.pairwise(covered):
        assert len(before & after) == 12
    characters = {c for spans in covered for a, z in spans for c in range(a, z)}
    assert characters == {k for k, letter in enumerate(item.context) if not letter.isspace()}


def test_a_span_needs_both_of_its_ends():
    offsets = torch.tensor([[[-1, -1], [0, 3], [4, 9], [9, 12], [-1, -1]]]).repeat(5, 1, 1)
    begins = torch.tensor([4, 5, 0, 9, 20])
    ends = torch.tensor([9, 8, 12, 15, 24])
    wanted = [[2, 2], [2, 2], [1, 3], [NOWHERE, NOWHERE], [NOWHERE, NOWHERE]]
    assert token_spans(offsets, begins, ends).tolist() == wanted


def test_training_takes_the_first_window_that_holds_the_answer(tokenizer):
    windows = make_windows(tokenizer, questions(), 32, 0.25)
    answered = windows.answered()
    assert answered.question.tolist() == sorted(set(answered.question.tolist()))
    assert bool((answered.targets != NOWHERE).all())
    for number, ids in zip(answered.question.tolist(), answered.inputs["input_ids"], strict=True):
        rows = [
            k for k, q in enumerate(windows.question.tolist()) if q == number and windows.targets[k, 0] >= 0
        ]
        assert torch.equal(ids, windows.inputs["input_ids"][rows[0]])


def test_a_long_question_leaves_room_for_the_context(tokenizer):
    item = Question("x", "why " * 100, TEXTS[0][0], (TEXTS[0][2],), (TEXTS[0][0].index(TEXTS[0][2]),))
    windows = make_windows(tokenizer, [item], 64, 0.25)
    assert bool(((windows.offsets[..., 0] >= 0).sum(1) > 10)[:-1].all())
