"""squad-lora: extractive question answering by an encoder with low-rank adapters (arXiv 2405.13817, fig. 5)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from tngd_bench import arguments
from tngd_bench.datasets import DType, encoders, squad_text
from tngd_bench.problems.entry import Option, ProblemEntry, ProblemOption, Score
from tngd_bench.problems.lora_widths import AdapterWidths, adapter_widths
from tngd_bench.problems.metrics import EXACT_MATCH, F1
from tngd_bench.problems.widths import Widths

if TYPE_CHECKING:
    from torch import nn

    from tngd_bench.datasets.splits import DataSplits

SHORTEST = 32
DEFAULT_LENGTH = 384
OPTIONS = {
    "encoder": ProblemOption(
        encoders.PACKAGED, arguments.text, "a folder, a name on the Hugging Face hub, or all-minilm-l6-v2"
    ),
    "train": ProblemOption(squad_text.SQUAD, arguments.text, "a file in SQuAD format, or squad-v1.1"),
    "test": ProblemOption(squad_text.SQUAD, arguments.text, "a file in SQuAD format, or squad-v1.1"),
    "overlap": ProblemOption(
        0.25,
        lambda name, value: arguments.real(name, value, minimum=0.0, below=0.4),
        "share of a window that the next one of the same context repeats (doc-stride)",
    ),
    "lora_alpha": ProblemOption(
        32.0, lambda name, value: arguments.real(name, value, above=0.0), "α: adapters are scaled by α/rank"
    ),
    "lora_dropout": ProblemOption(
        0.1,
        lambda name, value: arguments.real(name, value, minimum=0.0, below=1.0),
        "dropout before the adapters; the encoder keeps its own",
    ),
}


def _search(encoder: str, outputs: int, parameters: int) -> Widths:
    return adapter_widths(encoders.encoder_shape(encoder), outputs, parameters)


def _build(options: Mapping[str, Any], widths: Widths) -> nn.Module:
    from tngd_bench.problems.span_model import build_span_model

    assert isinstance(widths, AdapterWidths)
    alpha, dropout = float(options["lora_alpha"]), float(options["lora_dropout"])
    return build_span_model(options["encoder"], widths.rank, alpha, dropout)


def _read(
    options: Mapping[str, Any], train_size: int | None, test_size: int | None, dtype: DType, outputs: int
) -> DataSplits:
    """Return windows: in training, for each question the first that holds its answer; in the test, all of them.

    Sizes count questions. Training questions whose answer is longer than any window holds are left out.
    """
    from tngd_bench.datasets.splits import DataSplits
    from tngd_bench.datasets.squad_windows import Windows, make_windows

    length = outputs // 2
    encoder = encoders.load_encoder(options["encoder"])
    digest = hashlib.sha256(encoder.digest.encode())
    parts: list[tuple[Windows, tuple[squad_text.Question, ...]]] = []
    sources = [encoder.source]
    sizes = {"train": train_size, "test": test_size}
    for option, file in (("train", squad_text.TRAIN), ("test", squad_text.TEST)):
        found = squad_text.load_questions(option, options[option], file)
        questions = found.first(f"{option}_size", sizes[option])
        windows = make_windows(encoder.tokenizer, questions, length, float(options["overlap"]))
        parts.append((windows.answered() if option == "train" else windows, questions))
        digest.update(f"{option} {found.sha256} {len(questions)} {length} {options['overlap']}".encode())
        sources.append(f"{option}: {found.source}")
    (train, _), (test, _) = parts
    samples = train.inputs, train.targets, test.inputs, test.targets
    references = _references(*parts[0]), _references(*parts[1])
    return DataSplits(*samples, digest.hexdigest(), "; ".join(sources), *references)


def _references(windows: Any, questions: tuple[squad_text.Question, ...]) -> dict[str, Any]:
    numbers = windows.question.tolist()
    return {
        "offsets": windows.offsets,
        "question": windows.question,
        "context": [questions[k].context for k in numbers],
        "answers": [list(questions[k].answers) for k in numbers],
    }


def _score() -> Score:
    from tngd_bench.problems.squad_scores import question_answering

    return question_answering


def _entry(options: Mapping[str, Option]) -> ProblemEntry:
    encoder = options["encoder"]
    assert isinstance(encoder, str)
    return ProblemEntry(
        name="squad-lora",
        title="SQuAD, LoRA",
        summary="extractive question answering; the rank sets N, outputs are twice the sequence length",
        data_source="SQuAD v1.1, or any file in SQuAD format; a pretrained encoder, fetched on first use (extra: qa)",
        classes=2 * SHORTEST,
        search=partial(_search, encoder),
        read=partial(_read, options),
        build=partial(_build, options),
        metrics=(EXACT_MATCH, F1),
        make_score=_score,
        evaluation_batch=16,
        default_outputs=2 * DEFAULT_LENGTH,
        data_by_outputs=True,
        packages=("transformers", "peft"),
        options=OPTIONS,
        configure=_entry,
    )


ENTRY = _entry({name: option.default for name, option in OPTIONS.items()})
