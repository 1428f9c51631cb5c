"""Sizes of layers as torch has them, one class of that name, and rules that planning can ask without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import tngd_bench
from tngd_bench.curvature.capture import layer_of
from tngd_bench.layers import Layer, PointwiseLayer

TORCH_FREE = ("layers", "curvature.route", "spu.dynamics.route", "optimizers.iteration", "optimizers.costs")


def test_there_is_one_class_or_alias_called_layer() -> None:
    defined = re.compile(r"^(class Layer\b(?!\w)|Layer\s*(:.*)?=)", re.MULTILINE)
    files = Path(tngd_bench.__file__).parent.rglob("*.py")
    assert [path.name for path in files if defined.search(path.read_text(encoding="utf-8"))] == ["layers.py"]


def test_rules_of_layers_and_routes_load_no_torch() -> None:
    modules = ", ".join(f"tngd_bench.{name}" for name in TORCH_FREE)
    subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; assert 'torch' not in sys.modules"], check=True
    )


@pytest.mark.parametrize(
    ("module", "shape", "sizes"),
    [
        (nn.Linear(5, 3), (2, 5), (5, 3, 1)),
        (nn.Linear(5, 3), (2, 7, 5), (5, 3, 7)),
        (nn.Conv2d(4, 6, 3), (2, 4, 8, 9), (36, 6, 42)),
        (nn.Conv2d(4, 6, 3, groups=2, stride=2), (2, 4, 8, 9), (18, 6, 12)),
        (nn.Conv1d(4, 6, 3), (2, 4, 3), (12, 6, 1)),
    ],
)
def test_sizes_of_a_layer_are_those_of_its_tensors(
    module: nn.Module, shape: tuple[int, ...], sizes: tuple[int, int, int]
) -> None:
    output = module(torch.zeros(shape))
    layer = layer_of(module, output.shape)
    assert (layer.d_in, layer.d_out, layer.positions) == sizes
    assert isinstance(layer, Layer)
    assert (layer.weights, layer.values) == (module.weight.numel(), output[0].numel())
    unbiased = layer.forward(2)
    assert unbiased == 2 * output.numel() * layer.d_in  # a multiplication and an addition for each input


@pytest.mark.parametrize(
    ("module", "shape", "kept"),
    [
        (nn.LayerNorm(5), (2, 7, 5), 10),
        (nn.GroupNorm(2, 4), (2, 4, 6), 8),
    ],
)
def test_a_normalisation_keeps_its_rows_and_has_no_matrix(
    module: nn.Module, shape: tuple[int, ...], kept: int
) -> None:
    layer = layer_of(module, module(torch.zeros(shape)).shape)
    assert layer == PointwiseLayer(torch.Size(shape)[1:].numel(), kept)
    assert (layer.weights, layer.repeated) == (0, False)


def test_a_table_keeps_the_gradients_of_its_outputs() -> None:
    assert layer_of(nn.Embedding(9, 4), torch.Size((2, 7, 4))) == PointwiseLayer(28, 28)
