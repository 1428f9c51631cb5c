"""Real text as tokens: words or characters, the most frequent of them by number."""

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from tngd_bench import arguments
from tngd_bench.datasets.finder import user_path
from tngd_bench.datasets.splits import DataSplits

DESCRIPTIONS = "scikit-learn"
TEST_SHARE = 0.1
ORDER_SEED = 0
LEVELS = ("word", "character")
_WORD = re.compile(r"\w+|[^\w\s]")
UNKNOWN = 0


@dataclass(frozen=True)
class Text:
    """A text and where it came from."""

    content: str
    source: str


def load_text(value: str) -> Text:
    """Return the text of a file, the contexts of one in SQuAD format, or scikit-learn's descriptions of its data sets.

    The last are some 40,000 characters of English prose that lie in its wheel. Raises ValueError for other names.
    """
    if value == DESCRIPTIONS and not Path(value).exists():
        folder = files("sklearn.datasets.descr")
        pages = sorted((item.name, item) for item in folder.iterdir() if item.name.endswith(".rst"))
        return Text(
            "\n".join(item.read_text(encoding="utf-8") for _, item in pages), "scikit-learn's descriptions"
        )
    try:
        content = user_path(value).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"text = {value!r} cannot be read ({error}); accepted: {DESCRIPTIONS}, a text file in UTF-8, or a JSON"
            " file in SQuAD format"
        ) from None
    if value.endswith(".json"):
        try:
            articles = json.loads(content)["data"]
            content = "\n".join(p["context"] for article in articles for p in article["paragraphs"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"text = {value!r} is not in SQuAD format ({type(error).__name__}: {error})"
            ) from None
    return Text(content, value)


def token_numbers(content: str, level: str, vocabulary: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the text as numbers below `vocabulary`: the k-th most frequent token is k, all rarer ones are 0.

    Words are runs of letters and digits in lower case, and single marks; characters are taken as they are. Equally
    frequent tokens stand in the order of the alphabet.
    """
    arguments.choice("level", level, LEVELS)
    tokens = _WORD.findall(content.lower()) if level == "word" else list(content)
    counted = sorted(Counter(tokens).items(), key=lambda item: (-item[1], item[0]))
    numbers = {token: k for k, (token, _) in enumerate(counted[: vocabulary - 1], start=UNKNOWN + 1)}
    return np.array([numbers.get(token, UNKNOWN) for token in tokens], dtype=np.int64)


def next_token_splits(
    text: Text, level: str, context: int, vocabulary: int, train_size: int | None, test_size: int | None
) -> DataSplits:
    """Return windows of `context` tokens (n, C), and the token that follows each, (n,).

    The last tenth of the text is the test part; windows of either stand in a fixed mixed order. Raises ValueError for
    a text too short, and for sizes beyond the windows there are.
    """
    numbers = token_numbers(text.content, level, vocabulary)
    cut = len(numbers) - int(TEST_SHARE * len(numbers))
    parts = []
    for name, part, size in (
        ("train_size", numbers[:cut], train_size),
        ("test_size", numbers[cut:], test_size),
    ):
        count = len(part) - context
        if count < 1:
            raise ValueError(
                f"text of {len(numbers)} tokens is too short for windows of {context}: each part needs {context + 1}"
            )
        order = np.random.Generator(np.random.PCG64(ORDER_SEED)).permutation(count)
        if size is not None:
            order = order[: arguments.integer(name, size, minimum=1, maximum=count)]
        windows = np.lib.stride_tricks.sliding_window_view(part, context + 1)[order]
        parts.append(torch.from_numpy(windows.copy()))
    train, test = parts
    digest = hashlib.sha256(text.content.encode())
    digest.update(f"{level} {context} {vocabulary} {len(train)} {len(test)}".encode())
    x, y, test_x, test_y = (each.contiguous() for part in parts for each in (part[:, :-1], part[:, -1]))
    return DataSplits(x, y, test_x, test_y, digest.hexdigest(), text.source)
