"""Exact match and F1 of extracted answers, by the normalisation of SQuAD (Rajpurkar et al. 2016, §6.1)."""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tngd_bench.datasets.splits import Subset
from tngd_bench.datasets.squad_windows import NOWHERE

LONGEST_ANSWER = 30
"""Tokens of a predicted answer, at most; the usual bound."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(answer: str) -> str:
    """Return an answer in lower case, without ASCII punctuation, articles and superfluous white space."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(predicted: str, answer: str) -> float:
    """Return 1 where both are the same after normalisation, else 0."""
    return float(normalise(predicted) == normalise(answer))


def f1(predicted: str, answer: str) -> float:
    """Return the harmonic mean of precision and recall over words, as multisets; 1 for two empty answers."""
    words, wanted = normalise(predicted).split(), normalise(answer).split()
    if not words or not wanted:
        return float(words == wanted)
    shared = sum((Counter(words) & Counter(wanted)).values())
    return 2.0 * shared / (len(words) + len(wanted))


def best_of(measure: Callable[[str, str], float], predicted: str, answers: Sequence[str]) -> float:
    """Return the best value over several accepted answers."""
    return max(measure(predicted, answer) for answer in answers)


def best_spans(outputs: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the score (n,) and the characters (n, 2) of each window's best answer.

    `outputs` (n, T, 2) are logits of the first and the last token; the best pair lies in the context, first ≤ last,
    at most LONGEST_ANSWER tokens. −∞ and an empty span for a window without context.
    """
    inside = offsets[..., 0] >= 0
    first, last = outputs.masked_fill(~inside.unsqueeze(2), -torch.inf).unbind(2)
    length = outputs.shape[1]
    best = torch.full(first.shape[:1], -torch.inf, dtype=outputs.dtype, device=outputs.device)
    spans = torch.zeros(len(outputs), 2, dtype=torch.long, device=outputs.device)
    for extra in range(min(LONGEST_ANSWER, length)):
        scores, starts = (first[:, : length - extra] + last[:, extra:]).max(1)
        better = scores > best
        best = torch.where(better, scores, best)
        spans[better] = torch.stack([starts, starts + extra], 1)[better]
    rows = torch.arange(len(outputs), device=outputs.device)
    characters = torch.stack([offsets[rows, spans[:, 0], 0], offsets[rows, spans[:, 1], 1]], 1)
    return best, torch.where(torch.isfinite(best).unsqueeze(1), characters, 0)


def question_answering(loss: nn.Module, outputs: Tensor, part: Subset) -> Mapping[str, float]:
    """Return "loss" over the windows that hold their answer, and "exact_match" and "f1" over the questions.

    `part.references` has, for each window, `offsets`, `question` (windows of one question are neighbours), `context`
    and `answers`. A question's answer is the best span of all its windows. NaN loss where no window holds an answer.
    """
    assert part.references is not None
    references = part.references
    held = part.targets[:, 0] != NOWHERE
    value = float(loss(outputs[held], part.targets[held])) if bool(held.any()) else float("nan")
    scores, characters = best_spans(outputs, references["offsets"])
    chosen: dict[int, int] = {}
    for row, question in enumerate(references["question"].tolist()):
        if question not in chosen or scores[row] > scores[chosen[question]]:
            chosen[question] = row
    matches, overlaps = [], []
    for row in chosen.values():
        first, after_last = characters[row].tolist()
        predicted = references["context"][row][first:after_last]
        matches.append(best_of(exact_match, predicted, references["answers"][row]))
        overlaps.append(best_of(f1, predicted, references["answers"][row]))
    return {"loss": value, "exact_match": sum(matches) / len(matches), "f1": sum(overlaps) / len(overlaps)}
