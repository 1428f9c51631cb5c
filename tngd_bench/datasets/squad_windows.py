"""Questions with their contexts as windows of tokens, and answers as spans of tokens in them.

A context longer than a window is cut into several that overlap (doc-stride; Devlin et al. 2019 §4.2 for the layout
[CLS] question [SEP] context [SEP]).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tngd_bench.datasets.squad_text import Question

NOWHERE = -100
"""Target of a window that does not hold the answer: what cross-entropy ignores."""


@dataclass(frozen=True)
class Windows:
    """Windows of T tokens, one row each.

    `inputs`: input_ids, attention_mask (1 for tokens, 0 for padding) and, where the tokenizer gives them,
    token_type_ids, (n, T). `offsets` (n, T, 2): the characters of the context that a token stands for, (−1, −1)
    outside the context. `targets` (n, 2): first and last token of the answer, NOWHERE where the window lacks a part of
    it. `question` (n,): the number of the question.
    """

    inputs: dict[str, Tensor]
    offsets: Tensor
    targets: Tensor
    question: Tensor

    def only(self, chosen: Tensor) -> Windows:
        """Return the windows `chosen`, by number or by mask."""
        inputs = {name: values[chosen] for name, values in self.inputs.items()}
        return Windows(inputs, self.offsets[chosen], self.targets[chosen], self.question[chosen])

    def answered(self) -> Windows:
        """Return for each question the first window that holds its whole answer; those without one are left out."""
        held = torch.nonzero(self.targets[:, 0] != NOWHERE).squeeze(1)
        numbers = self.question[held]
        first = torch.ones_like(numbers, dtype=torch.bool)
        first[1:] = numbers[1:] != numbers[:-1]
        return self.only(held[first])


def make_windows(tokenizer: Any, questions: Sequence[Question], length: int, overlap: float) -> Windows:
    """Return all windows of `length` tokens, in the order of the questions; neighbours share `overlap`·length tokens.

    A question is cut to half a window. The answer is the first of the question's answers.
    """
    asked = _shortened(tokenizer, [q.question for q in questions], length // 2)
    encoded = tokenizer(
        asked,
        [q.context for q in questions],
        truncation="only_second",
        max_length=length,
        stride=int(overlap * length),
        padding="max_length",
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    names = [n for n in ("input_ids", "attention_mask", "token_type_ids") if n in encoded]
    inputs = {name: torch.tensor(encoded[name], dtype=torch.int32) for name in names}
    question = torch.tensor(encoded["overflow_to_sample_mapping"])
    in_context = torch.tensor(
        [[part == 1 for part in encoded.sequence_ids(row)] for row in range(len(question))]
    )
    offsets = torch.tensor(encoded["offset_mapping"], dtype=torch.int32)
    offsets[~in_context] = -1
    begins = torch.tensor([q.starts[0] for q in questions])[question]
    ends = torch.tensor([q.starts[0] + len(q.answers[0]) for q in questions])[question]
    return Windows(inputs, offsets, token_spans(offsets, begins, ends), question)


def token_spans(offsets: Tensor, begins: Tensor, ends: Tensor) -> Tensor:
    """Return (n, 2), first and last token of the characters begins ≤ c < ends in each window.

    A window holds an answer whose first and last character both lie in tokens of it; else the targets are NOWHERE.
    """
    first_character, after_last = offsets[..., 0], offsets[..., 1]
    begins, ends = begins.unsqueeze(1), ends.unsqueeze(1)
    holds_first = (first_character <= begins) & (begins < after_last)
    holds_last = (first_character < ends) & (ends <= after_last)
    spans = torch.stack([holds_first.int().argmax(1), holds_last.int().argmax(1)], 1)
    complete = holds_first.any(1) & holds_last.any(1) & (spans[:, 0] <= spans[:, 1])
    return torch.where(complete.unsqueeze(1), spans, NOWHERE)


def _shortened(tokenizer: Any, texts: list[str], length: int) -> list[str]:
    """Each text up to the end of its `length`-th token."""
    encoded = tokenizer(
        texts, add_special_tokens=False, truncation=True, max_length=length, return_offsets_mapping=True
    )
    return [
        text[: spans[-1][1]] if spans else text
        for text, spans in zip(texts, encoded["offset_mapping"], strict=True)
    ]
