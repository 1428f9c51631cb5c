import json
from collections import Counter

import numpy as np
import pytest
import torch

from tests import oracles
from tests.tiny_encoder import write_questions
from tngd_bench.curvature import GGN
from tngd_bench.datasets.lm_text import Text, load_text, next_token_splits, token_numbers
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.problems import registry


@pytest.fixture(scope="module")
def entry():
    return registry.get("causal-lm")


@pytest.mark.parametrize(
    ("outputs", "parameters"), [(20, 3_000), (96, 40_000), (1000, 100_000), (5000, 2_000_000)]
)
def test_the_count_is_exact_and_within_two_percent(entry, outputs, parameters):
    widths = entry.widths(parameters, outputs)
    assert abs(widths.parameters - parameters) <= 0.02 * parameters
    assert widths.outputs == outputs
    assert widths.parameters == sum(p.numel() for p in entry.model(widths, 0).parameters())


def test_a_model_too_small_is_refused_with_the_nearest(entry):
    with pytest.raises(
        ValueError, match=r"causal-lm, 1000 outputs: parameters = 100: no model comes within 2 %; .* 30"
    ):
        entry.widths(100, 1000)


def test_the_most_frequent_tokens_have_numbers_of_their_own():
    content = "The cat and the dog. The cat!"
    words = ["the", "cat", "and", "the", "dog", ".", "the", "cat", "!"]
    assert token_numbers(content, "word", 3).tolist() == [{"the": 1, "cat": 2}.get(w, 0) for w in words]
    whole = token_numbers(content, "word", 50)
    assert len(set(whole.tolist())) == len(set(words))
    letters = token_numbers("abba c", "character", 4)
    assert letters.tolist() == [
        1,
        2,
        2,
        1,
        3,
        0,
    ]  # a, b before the rarer blank and c, equally rare: blank first


def test_each_window_is_followed_by_its_target_and_parts_do_not_mix():
    text = Text(" ".join(f"w{k % 37}" for k in range(500)), "made")
    numbers = token_numbers(text.content, "word", 64)
    data = next_token_splits(text, "word", 5, 64, None, None)
    assert data.train_inputs.shape == (445, 5)
    assert data.test_inputs.shape == (45, 5)
    joined = torch.cat([data.train_inputs, data.train_targets[:, None]], 1)
    expected = Counter(tuple(numbers[k : k + 6]) for k in range(445))
    assert Counter(tuple(row) for row in joined.tolist()) == expected
    assert not np.array_equal(joined[:, 0].numpy(), numbers[:445])


def test_the_text_may_be_a_file_or_the_contexts_of_questions(tmp_path, entry):
    plain = tmp_path / "plain.txt"
    plain.write_text("word " * 300)
    assert load_text(str(plain)).content == "word " * 300
    questions = write_questions(tmp_path / "q.json")
    contexts = [p["context"] for p in json.loads(questions.read_text())["data"][0]["paragraphs"]]
    assert load_text(str(questions)).content == "\n".join(contexts)
    assert len(load_text("scikit-learn").content) > 20_000
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match="is not in SQuAD format"):
        load_text(str(tmp_path / "bad.json"))
    with pytest.raises(
        ValueError, match=r"text = .*nowhere' cannot be read .*accepted: scikit-learn, a text file"
    ):
        load_text(str(tmp_path / "nowhere"))
    short = registry.get("causal-lm", {"text": str(plain), "context": 100})
    with pytest.raises(ValueError, match="text of 300 tokens is too short for windows of 100"):
        short.load(outputs=10)


def test_sizes_and_checksum(entry):
    data = entry.load(100, 20, outputs=50)
    assert (len(data.train_targets), len(data.test_targets)) == (100, 20)
    assert int(data.train_targets.max()) < 50
    assert data.checksum != entry.load(100, 20, outputs=51).checksum
    assert (
        data.checksum != registry.get("causal-lm", {"level": "character"}).load(100, 20, outputs=50).checksum
    )
    with pytest.raises(ValueError, match="train_size must be an integer >= 1 and <= "):
        entry.load(10**7)


@pytest.mark.parametrize("outputs", [12, 300])
def test_curvature_equals_brute_force(outputs):
    entry = registry.get("causal-lm", {"context": 4})
    data = entry.load(3, 3, "float64", outputs)
    model = entry.model(entry.widths({12: 600, 300: 4_000}[outputs], outputs), 0).double()
    loss = entry.loss()
    ggn = GGN(model, loss, data.train_inputs, data.train_targets)
    assert ggn.matrix_free == (outputs > 256)
    assert ggn.rows == 3 * outputs
    wanted = oracles.ggn(model, loss, data.train_inputs, data.train_targets)
    v = torch.randn(ggn.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert oracles.relative_error(ggn.matvec(v), wanted @ v) < 1e-9
    gradient = oracles.gradient(model, loss, data.train_inputs, data.train_targets)
    assert oracles.relative_error(ggn.gradient, gradient) < 1e-9


@pytest.mark.parametrize("name", ["adam", "kfac", "ngd-cg", "tngd"])
def test_optimizers_learn_to_predict_the_next_word(entry, name):
    data = entry.load(256, 20, outputs=300)
    model = entry.model(entry.widths(12_000, 300), 0)
    settings = {
        "adam": {"lr": 0.01},
        "kfac": {},
        "ngd-cg": {"cg_iterations": 10},
        "tngd": {"analog_time": 5.0},
    }
    lr = {} if name == "adam" else {"lr": 0.3, "damping": 0.1}
    optimizer = optimizers.get(name).create(
        model, entry.loss(), {**lr, **settings[name]}, torch.Generator().manual_seed(0)
    )
    losses = [optimizer.step(data.train_inputs[:32], data.train_targets[:32]) for _ in range(8)]
    assert losses[-1] < losses[0] - 0.2
