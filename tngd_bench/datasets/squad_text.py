"""Questions in the SQuAD format: SQuAD v1.1 itself, or any file of that format.

{"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text", "answer_start"}]}]}]}]}
"""

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tngd_bench import arguments
from tngd_bench.datasets.finder import DataFile, find, user_path
from tngd_bench.datasets.places import web_folder

SQUAD = "squad-v1.1"
TRAIN = DataFile(
    "train-v1.1.json", "3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955", 30_288_272
)
TEST = DataFile(
    "dev-v1.1.json", "95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9", 4_854_279
)
_MIRROR = "https://rajpurkar.github.io/SQuAD-explorer/dataset"
_ORDER_SEED = 0


@dataclass(frozen=True)
class Question:
    """A question on a context, and its answers: texts, and the character at which each begins."""

    identity: str
    question: str
    context: str
    answers: tuple[str, ...]
    starts: tuple[int, ...]


@dataclass(frozen=True)
class Questions:
    """Questions in a fixed mixed order, the SHA-256 of the file, and where it came from."""

    items: tuple[Question, ...]
    sha256: str
    source: str

    def first(self, name: str, size: int | None) -> tuple[Question, ...]:
        """Return the first `size` of them, all where it is None; ValueError naming `name` beyond the end."""
        if size is None:
            return self.items
        arguments.integer(name, size, minimum=1, maximum=len(self.items))
        return self.items[:size]


def load_questions(option: str, value: str, squad: DataFile) -> Questions:
    """Return the questions of the file `value`, or of SQuAD v1.1 where it is "squad-v1.1".

    The order is mixed by a fixed seed, so that the first of them come from all articles. Questions without an answer
    (SQuAD v2) are left out. Raises ValueError naming `option`, DataNotFoundError for SQuAD v1.1.
    """
    if value == SQUAD and not Path(value).exists():
        hint = f"set {option} in [problem.squad-lora] to any file in SQuAD format"
        found = find("SQuAD v1.1", (squad,), "squad", (web_folder(_MIRROR),), hint=hint)
        content, source = found.contents[squad.name], found.source
    else:
        source = value
        try:
            content = user_path(value).read_bytes()
        except OSError as error:
            raise ValueError(
                f"{option} = {value!r} cannot be read ({error.strerror or error}); accepted: {SQUAD}, or the path of a"
                " JSON file in SQuAD format"
            ) from None
    try:
        items = list(_questions(json.loads(content)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{option} = {value!r} is not in SQuAD format ({type(error).__name__}: {error})"
        ) from None
    if not items:
        raise ValueError(f"{option} = {value!r} holds no question with an answer")
    random.Random(_ORDER_SEED).shuffle(items)  # noqa: S311  # an order, no secret
    return Questions(tuple(items), hashlib.sha256(content).hexdigest(), source)


def _questions(document: Any) -> Iterator[Question]:
    for article in document["data"]:
        for paragraph in article["paragraphs"]:
            context = paragraph["context"]
            for entry in paragraph["qas"]:
                answers = entry.get("answers", [])
                for answer in answers:
                    text, start = answer["text"], answer["answer_start"]
                    if context[start : start + len(text)] != text:
                        raise ValueError(f"question {entry['id']}: {text!r} is not at character {start}")
                if answers:
                    yield Question(
                        str(entry["id"]),
                        entry["question"].strip(),
                        context,
                        tuple(answer["text"] for answer in answers),
                        tuple(answer["answer_start"] for answer in answers),
                    )
