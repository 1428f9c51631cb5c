"""causal-lm: the next word or character of real text; as many outputs as the vocabulary has tokens."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from tngd_bench import arguments
from tngd_bench.datasets import DType
from tngd_bench.problems.entry import Option, ProblemEntry, ProblemOption
from tngd_bench.problems.lm_widths import LanguageWidths, language_widths
from tngd_bench.problems.widths import Widths

if TYPE_CHECKING:
    from torch import nn

    from tngd_bench.datasets.splits import DataSplits

DEFAULT_VOCABULARY = 1000
OPTIONS = {
    "text": ProblemOption(
        "scikit-learn",
        arguments.text,
        "a text file, one in SQuAD format (its contexts), or scikit-learn's descriptions",
    ),
    "level": ProblemOption(
        "word",
        lambda name, value: arguments.choice(name, value, ("word", "character")),
        "tokens are words, or characters",
    ),
    "context": ProblemOption(
        16,
        lambda name, value: arguments.integer(name, value, minimum=1),
        "tokens that the next one is predicted from",
    ),
}


def _read(
    options: Mapping[str, Any], train_size: int | None, test_size: int | None, dtype: DType, outputs: int
) -> DataSplits:
    from tngd_bench.datasets import lm_text

    text, level, context = lm_text.load_text(options["text"]), options["level"], options["context"]
    return lm_text.next_token_splits(text, level, context, outputs, train_size, test_size)


def _build(widths: Widths) -> nn.Module:
    from tngd_bench.problems.language_model import LanguageModel

    assert isinstance(widths, LanguageWidths)
    return LanguageModel(widths)


def _entry(options: Mapping[str, Option]) -> ProblemEntry:
    context = options["context"]
    assert isinstance(context, int)
    return ProblemEntry(
        name="causal-lm",
        title="Next token",
        summary="one attention block on 16 tokens of text; outputs are the vocabulary, so m is large at any batch",
        data_source="scikit-learn's descriptions of its data sets, inside its wheel; or any text file",
        classes=2,
        search=partial(language_widths, context),
        read=partial(_read, options),
        build=_build,
        default_outputs=DEFAULT_VOCABULARY,
        data_by_outputs=True,
        options=OPTIONS,
        configure=_entry,
    )


ENTRY = _entry({name: option.default for name, option in OPTIONS.items()})
