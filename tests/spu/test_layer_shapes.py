"""The layers that a model's trial records are those that its problem describes, and predictions take."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.shapes import IMAGES
from tests.tiny_encoder import write_encoder, write_questions
from tngd_bench.curvature.model_call import run_model
from tngd_bench.datasets.splits import take
from tngd_bench.problems import registry as problems
from tngd_bench.problems.widths import Widths
from tngd_bench.spu.billing import Workload
from tngd_bench.spu.layer_shapes import recorded_layers


def trained(widths: Widths) -> Counter[object]:
    return Counter(Workload(widths.parameters, 1, layers=widths.layers).trained)


@pytest.mark.parametrize("problem", IMAGES)
def test_layers_of_images_are_recorded_as_described(problem: str) -> None:
    entry = problems.get(problem)
    widths = entry.widths(30_000, 10)
    model = entry.model(widths, 0)
    with recorded_layers(model) as layers:
        model(torch.rand(2, *IMAGES[problem]))
    assert Counter(layers) == trained(widths)


def test_adapters_are_recorded_as_described(tmp_path: Path) -> None:
    """Of a frozen encoder the adapters and the head alone."""
    pytest.importorskip("transformers")
    pytest.importorskip("peft")
    questions = str(write_questions(tmp_path / "questions.json", repeat=5))
    encoder = str(write_encoder(tmp_path / "encoder", dropout=0.0))
    entry = problems.get("squad-lora", {"encoder": encoder, "train": questions, "test": questions})
    widths = entry.widths(8 * 2 * 16 * 3 + 34, 64)
    model = entry.model(widths, 0)
    inputs = take(entry.load(16, 4, outputs=64).train_inputs, slice(2))
    with recorded_layers(model) as layers:
        run_model(model, inputs)
    assert Counter(layers) == trained(widths)
    assert len(layers) == 2 * 4 * 2 + 1
    assert sum(layer.parameters for layer in layers) == sum(
        p.numel() for p in model.parameters() if p.requires_grad
    )


def test_a_bias_that_is_not_trained_has_no_column() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4), nn.Linear(4, 1))
    assert model[1].bias is not None
    model[1].bias.requires_grad_(False)
    model[2].requires_grad_(False)
    with recorded_layers(model) as layers:
        model(torch.rand(5, 3))
    assert [layer.parameters for layer in layers] == [8, 8]
