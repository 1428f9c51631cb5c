import pytest
import torch
from torch import nn

from tngd_bench.datasets.splits import Subset
from tngd_bench.problems.squad_scores import (
    LONGEST_ANSWER,
    best_of,
    best_spans,
    exact_match,
    f1,
    normalise,
    question_answering,
)


@pytest.mark.parametrize(
    ("answer", "plain"),
    [
        ("The Eiffel Tower", "eiffel tower"),
        ("an apple, a day", "apple day"),
        ("  22.4 \n litres ", "224 litres"),
        ("U.S.A.", "usa"),
        ("theatre", "theatre"),
        ("the", ""),
        ("Beyoncé's", "beyoncés"),
        ("“quoted”", "“quoted”"),  # only ASCII punctuation goes, as in SQuAD's own script
        ("well-known", "wellknown"),
    ],
)
def test_normalisation(answer, plain):
    assert normalise(answer) == plain


@pytest.mark.parametrize(
    ("predicted", "answer", "matches", "overlap"),
    [
        ("the sea", "Sea", 1.0, 1.0),
        ("the deep blue sea", "sea", 0.0, 2 * (1 / 3) * 1 / (1 / 3 + 1)),
        ("Denver Broncos", "Broncos of Denver", 0.0, 2 * 1.0 * (2 / 3) / (1 + 2 / 3)),
        ("to be to be", "to be", 0.0, 2 * 0.5 * 1 / 1.5),  # a repeated word counts as often as in the answer
        ("Paris", "London", 0.0, 0.0),
        ("", "London", 0.0, 0.0),
        ("a", "the", 1.0, 1.0),
    ],
)
def test_exact_match_and_f1_of_hand_made_cases(predicted, answer, matches, overlap):
    assert exact_match(predicted, answer) == matches
    assert f1(predicted, answer) == pytest.approx(overlap)


def test_several_answers_count_by_the_best():
    assert best_of(f1, "the Panthers", ["Carolina Panthers", "Panthers"]) == 1.0


def test_best_span_is_that_of_a_search_over_all_pairs():
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(5, 40, 2, generator=generator)
    offsets = torch.stack([torch.arange(40) * 3, torch.arange(40) * 3 + 2], 1).repeat(5, 1, 1)
    offsets[:, :4] = -1  # the question
    offsets[:, 38:] = -1  # padding
    scores, characters = best_spans(outputs, offsets)
    for row in range(5):
        pairs = {
            (i, j): float(outputs[row, i, 0] + outputs[row, j, 1])
            for i in range(4, 38)
            for j in range(i, min(i + LONGEST_ANSWER, 38))
        }
        (i, j), best = max(pairs.items(), key=lambda item: item[1])
        assert scores[row] == pytest.approx(best)
        assert characters[row].tolist() == [3 * i, 3 * j + 2]


def test_a_window_without_context_gives_nothing():
    scores, characters = best_spans(torch.zeros(1, 5, 2), torch.full((1, 5, 2), -1))
    assert scores.tolist() == [-torch.inf]
    assert characters.tolist() == [[0, 0]]


def test_a_question_is_answered_by_its_best_window():
    context = "red green blue"
    offsets = torch.tensor(
        [[[0, 3], [4, 9], [-1, -1]], [[4, 9], [10, 14], [-1, -1]], [[0, 3], [4, 9], [10, 14]]]
    )
    outputs = torch.zeros(3, 3, 2)
    outputs[0, 0] = 1.0  # question 0, first window: red
    outputs[1, 1] = 5.0  # question 0, second window, surer: blue
    outputs[2, 0, 0], outputs[2, 1, 1] = 5.0, 5.0  # question 1: red green
    references = {
        "offsets": offsets,
        "question": torch.tensor([0, 0, 1]),
        "context": [context] * 3,
        "answers": [["blue"], ["blue"], ["green"]],
    }
    targets = torch.tensor([[-100, -100], [1, 1], [1, 1]])
    part = Subset({}, targets, references)
    found = question_answering(nn.CrossEntropyLoss(), outputs, part)
    assert found["exact_match"] == 0.5
    assert found["f1"] == pytest.approx((1.0 + 2 * 0.5 / 1.5) / 2)
    # the loss leaves out the window that lacks the answer: the mean over the four ends of the other two
    ends = [(outputs[1, :, 0], 1), (outputs[1, :, 1], 1), (outputs[2, :, 0], 1), (outputs[2, :, 1], 1)]
    each = [torch.logsumexp(z, 0) - z[y] for z, y in ends]
    assert found["loss"] == pytest.approx(float(torch.stack(each).mean()))
