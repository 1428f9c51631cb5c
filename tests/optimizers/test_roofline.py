"""One iteration by formula: against counts from the architecture, from a run, and from closed forms."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench.layers import Layer
from tngd_bench.measure.host_time import HostSide
from tngd_bench.optimizers.network_size import Model, positions_of, square_layers
from tngd_bench.optimizers.roofline import Alternative, Prediction, predict
from tngd_bench.optimizers.roofline_table import as_table, assumptions
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.device import Device
from tngd_bench.spu.processor import Processor

PAPER = Device.preset("paper")
A100 = Processor.named("a100")


def of(p: Prediction, name: str) -> Alternative:
    (found,) = [each for each in p.alternatives if each.name == name]
    return found


def resnet_50() -> tuple[Layer, ...]:
    """The weight layers of ResNet-50 v1.5 (He et al. 2016, table 1) at 224 × 224 pixels."""
    layers: list[Layer] = [(3 * 49, 64, 112**2)]
    width_in = 64
    for width, blocks, side in ((64, 3, 56), (128, 4, 28), (256, 6, 14), (512, 3, 7)):
        for block in range(blocks):
            before = (
                side if block or width == 64 else 2 * side
            )  # the 3 × 3 kernel of the first block has the stride
            layers += [(width_in, width, before**2), (9 * width, width, side**2), (width, 4 * width, side**2)]
            layers += [] if block else [(width_in, 4 * width, side**2)]
            width_in = 4 * width
    return (*layers, (2048, 1000, 1))


def test_resnet_50_costs_what_its_architecture_says() -> None:
    layers = resnet_50()
    weights = sum(d_in * d_out for d_in, d_out, _ in layers)
    forward = sum(2.0 * d_in * d_out * places for d_in, d_out, places in layers)
    assert weights == 25_502_912  # torchvision's 25,557,032 without biases and batch normalisation
    assert forward == pytest.approx(2 * 4.09e9, rel=1e-3)  # 4.09 GMAC an image, as torchvision lists
    size = {"batch_size": 32, "outputs": 1000, "processor": A100}
    exact = predict(PAPER, model=Model(weights, layers, "ResNet-50"), **size)  # type: ignore[arg-type]
    assert exact.forward_flops == forward
    # three passes, without the gradient of the pixels
    first = 2.0 * 3 * 49 * 64 * 112**2
    assert of(exact, "sgd").cost.flops == 32 * (3 * forward - first)
    known = predict(
        PAPER,
        parameters=weights,
        positions=positions_of(forward, weights),
        depth=len(layers),
        **size,  # type: ignore[arg-type]
    )
    assert known.forward_flops == pytest.approx(forward, rel=1e-3)
    for name in ("sgd", "adam"):
        assert of(known, name).cost.flops == pytest.approx(of(exact, name).cost.flops, rel=0.03)
    once = predict(PAPER, parameters=weights, **size)  # type: ignore[arg-type]
    assert of(exact, "sgd").seconds / of(once, "sgd").seconds > 100  # type: ignore[operator]


def test_a_transformer_takes_six_operations_a_parameter_and_token() -> None:
    n, tokens, sequences = 85_000_000, 1024, 8
    p = predict(
        PAPER, parameters=n, batch_size=sequences, outputs=1, depth=48, positions=tokens, processor=A100
    )
    assert of(p, "sgd").cost.flops == pytest.approx(6 * n * tokens * sequences, rel=1 / 48)
    assert p.forward_flops == pytest.approx(2 * n * tokens, rel=1e-3)


def test_tokens_as_positions_and_as_samples_are_one_gradient() -> None:
    """Eight sequences of 1,024 tokens with 50,000 logits each, or 8,192 samples of one token."""
    sequences = predict(
        PAPER, parameters=10**8, batch_size=8, outputs=51_200_000, positions=1024, processor=A100
    )
    samples = predict(PAPER, parameters=10**8, batch_size=8192, outputs=50_000, processor=A100)
    assert of(sequences, "sgd").seconds == pytest.approx(of(samples, "sgd").seconds)
    assert sequences.work.rows == samples.work.rows
    unsaid = predict(PAPER, parameters=10**8, batch_size=8, outputs=51_200_000, processor=A100)
    assert "gives 5,000 values a sample, fewer than the 51,200,000 outputs" in assumptions(unsaid)[0]
    assert "fewer than" not in assumptions(predict(PAPER, parameters=10**8, batch_size=8, outputs=5_000))[0]


@given(
    parameters=st.integers(10**6, 10**9),
    depth=st.integers(2, 30),
    positions=st.floats(1.0, 1e5),
)
def test_square_layers_hold_n_weights_and_their_operations(
    parameters: int, depth: int, positions: float
) -> None:
    layers = square_layers(parameters, depth, positions)
    assert len(layers) == depth
    rounding = sum(d_in for d_in, *_ in layers) / parameters  # half a unit of a width each
    assert sum(d_in * d_out for d_in, d_out, *_ in layers) == pytest.approx(parameters, rel=rounding + 1e-9)
    passes = sum(d_in * d_out * places for d_in, d_out, places, *_ in layers)
    assert passes == pytest.approx(parameters * positions, rel=2 * rounding + 1e-6)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_host_takes_what_a_run_of_it_counts(depth: int) -> None:
    width, batch = 24, 6
    blocks = [module for _ in range(depth) for module in (torch.nn.Linear(width, width), torch.nn.Tanh())]
    model = torch.nn.Sequential(*blocks[:-1])
    data = torch.rand(batch, width), torch.randint(0, width, (batch,))
    counted = HostSide(model, torch.nn.CrossEntropyLoss(), *data, width, "factored").operations().flops
    device = PAPER.override(upload="factored", hessian_array=False)
    p = predict(device, parameters=depth * width**2, batch_size=batch, outputs=width, depth=depth)
    assert p.host.flops == counted
    forward, first = 2.0 * batch * width**2 * depth, 2.0 * batch * width**2
    assert p.host.flops == 2 * forward + (1 + width) * (forward - first)
    assert of(p, "sgd").cost.flops == 3 * forward - first  # the rivals get the same first layer for nothing


def test_iterations_of_cg_are_those_given_or_expected() -> None:
    size = {"parameters": 20_000, "batch_size": 64, "outputs": 10}
    expected = predict(PAPER, **size)  # type: ignore[arg-type]
    assert expected.iterations == pytest.approx(6.69 * 0.01**-0.36 * 10**-0.097)
    assert f"{expected.iterations:.3g} iterations expected" in assumptions(expected)[1]
    assert "outside" not in assumptions(expected)[1]
    large = predict(PAPER, **size | {"parameters": 10**9}, damping=1e-4)  # type: ignore[arg-type]
    assert large.iterations == pytest.approx(expected.iterations * 100**0.36)
    assert "N, λ outside the sizes of the fit" in assumptions(large)[1]
    flops = [
        of(predict(PAPER, **size, cg_iterations=k), "ngd-cg").cost.flops  # type: ignore[arg-type]
        for k in (100, 200, 400)
    ]
    assert flops[2] - flops[1] == pytest.approx(2 * (flops[1] - flops[0]))
    # a product of the Gram matrix goes through each layer's rows and inputs' similarity at least once
    assert (flops[1] - flops[0]) / 100 > 4 * 640 * 4 * 71
    given_ = predict(PAPER, **size, cg_iterations=400)  # type: ignore[arg-type]
    assert (given_.iterations, assumptions(given_)[1]) == (400.0, "NGD-CG: 400 iterations, as given.")
    for one, other in zip(expected.alternatives, given_.alternatives, strict=True):
        assert (one.cost == other.cost) == (one.name != "ngd-cg")


def test_precision_sets_the_rate_and_the_bytes() -> None:
    size = {"parameters": 10**8, "batch_size": 8192, "outputs": 1}
    single, tensor, half = (
        predict(PAPER, **size, processor=Processor.named("a100", name))  # type: ignore[arg-type]
        for name in ("fp32", "tf32", "bf16")
    )
    assert of(single, "sgd").seconds == pytest.approx(8 * of(tensor, "sgd").seconds)  # type: ignore[operator]
    assert of(single, "sgd").seconds == pytest.approx(16 * of(half, "sgd").seconds)  # type: ignore[operator]
    assert of(single, "sgd").cost == of(tensor, "sgd").cost
    assert of(single, "sgd").cost.bytes == 2 * of(half, "sgd").cost.bytes
    alone = predict(PAPER, **size, precision="fp64")  # type: ignore[arg-type]
    assert of(alone, "sgd").cost.bytes == 2 * of(single, "sgd").cost.bytes
    own = predict(PAPER, **size, processor=Processor.named("a100", "fp64", 9.7e12))  # type: ignore[arg-type]
    assert of(own, "sgd").seconds == pytest.approx(of(own, "sgd").cost.flops / 9.7e12)


@given(memory=st.floats(1e3, 1e12), batch_size=st.integers(1, 4096))
def test_what_does_not_fit_has_no_time_and_says_what_is_missing(memory: float, batch_size: int) -> None:
    processor = dataclasses.replace(A100, memory_bytes=memory)
    p = predict(PAPER, parameters=10**5, batch_size=batch_size, outputs=10, processor=processor)
    for each in p.alternatives:
        assert each.missing_bytes == max(0.0, each.cost.bytes - memory)
        assert (each.seconds is None) == (each.joules is None) == (each.cost.bytes > memory)
        if each.missing_bytes or p.host_missing_bytes:
            assert each.break_even_bits_per_s is None
    assert (p.host_seconds is None) == (p.iteration_at_least_seconds is None) == (p.host_missing_bytes > 0)


def test_no_step_is_shorter_than_a_launch() -> None:
    p = predict(PAPER, parameters=1_000, batch_size=1, outputs=1, processor=A100)
    assert A100.launch_s is not None
    assert {(each.seconds, each.limit) for each in p.alternatives if each.name in ("sgd", "adam")} == {
        (A100.launch_s, "launch")
    }
    assert p.host_seconds == A100.launch_s
    unknown = dataclasses.replace(A100, launch_s=None)
    p = predict(PAPER, parameters=1_000, batch_size=1, outputs=1, processor=unknown)
    assert of(p, "sgd").limit in ("memory", "arithmetic")
    assert "no launch or latency is counted" in " ".join(assumptions(p))


def test_a_conductance_range_leaves_the_relaxation_unknown() -> None:
    limited = PAPER.override(conductance_max_siemens=1e-5)
    size = {"parameters": 20_000, "batch_size": 64, "outputs": 10, "processor": A100}
    p = predict(limited, **size)  # type: ignore[arg-type]
    assert (p.seconds.total, p.iteration_seconds, p.seconds.items["relax_slowdown"]) == (None, None, None)
    assert p.seconds.at_least == predict(PAPER, **size).seconds.total  # type: ignore[arg-type]
    assert "s = 1 is counted, a lower bound" in " ".join(assumptions(p))
    assert as_table(p)["digital"][-1]["break_even_link_bits_per_s"] is None
    assert not any("Relaxation" in each for each in assumptions(predict(PAPER, **size)))  # type: ignore[arg-type]


@pytest.mark.parametrize("given_", list(itertools.product([None, 0.0, 0.5], repeat=2)))
def test_the_power_of_cells_needs_both_figures(given_: tuple[float | None, float | None]) -> None:
    volts, siemens = given_
    device = PAPER.override(cell_volts=volts, cell_siemens=siemens)
    p = predict(device, parameters=20_000, batch_size=64, outputs=10)
    said = [each for each in assumptions(p) if each.startswith("Energy of the relaxation")]
    joules = p.joules.items["relax"]
    if volts is None or siemens is None:
        assert joules is None
        lacking = [name for name in ("cell_volts", "cell_siemens") if getattr(device, name) is None]
        assert len(said) == (len(lacking) == 1)
        assert all(each.endswith(f"needs {lacking[0]} too.") for each in said)
    else:
        assert joules == pytest.approx(p.parts.cells * volts**2 * siemens * 50e-6)
        assert "computed, V²G" in said[0]


def test_what_times_rest_on_is_said() -> None:
    p = predict(PAPER, parameters=20_000, batch_size=64, outputs=10, processor=A100)
    said = " ".join(assumptions(p))
    for fact in (
        "FP32, 19.5 TFLOP/s (NVIDIA datasheet, FP32 without tensor cores, read in the source)",
        "TF32 156, BF16 312 TFLOP/s",
        "80 GB",
        "one launch of 3 µs",
        "4 square layers of width 71, each weight used once a sample",
        "lower bounds",
        "400 W",
    ):
        assert fact in said
    own = predict(
        PAPER,
        parameters=20_000,
        batch_size=64,
        outputs=10,
        processor=Processor.named("a100", "fp16", 3e14),
    )
    assert "FP16, 300 TFLOP/s (given)" in " ".join(assumptions(own))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"positions": 0.5}, "positions must be a finite number >= 1, not 0.5"),
        ({"positions": math.nan}, "positions must be"),
        ({"positions": 1.5, "depth": 1}, "positions must be a whole number with depth = 1"),
        ({"cg_iterations": 0}, "cg_iterations must be an integer >= 1"),
        ({"damping": 0.0}, "damping must be a finite number > 0"),
        ({"overlap": True}, "overlap needs a processor"),
        ({"precision": "int8"}, "precision must be one of: fp64, fp32, tf32, bf16, fp16"),
        ({"parameters": 0}, "parameters must be"),
    ],
)
def test_bad_arguments_are_named(changed: dict[str, object], message: str) -> None:
    size: dict[str, object] = {"parameters": 1_000, "batch_size": 8, "outputs": 10, **changed}
    with pytest.raises((ValueError, TypeError), match=message):
        predict(PAPER, **size)  # type: ignore[arg-type]


def test_fewer_operations_than_weights_are_refused() -> None:
    assert positions_of(2e9, 10**9) == 1.0
    with pytest.raises(ValueError, match="forward_flops must be >= 2N = 2e\\+09"):
        positions_of(1.9e9, 10**9)


LENT = {"parameters": 20_000, "batch_size": 64, "outputs": 10, "processor": A100}


def test_rows_take_as_long_to_make_whatever_the_host_does_beside() -> None:
    """By hand: (1 - 1/d_z) of the longest of the rows' own operations and bytes; refinements and launches are not."""
    plain = predict(PAPER, **LENT)  # type: ignore[arg-type]
    widths = sum(layer.d_out for layer in plain.model.layers)
    moved = 4 * 640 * (widths + 20_000)
    assert plain.saved_seconds == pytest.approx(0.9 * moved / A100.bytes_per_s)
    for rounds in (1, 2, 50):
        refined = predict(PAPER, **LENT, analog=AnalogSettings(refinements=rounds))  # type: ignore[arg-type]
        assert refined.saved_seconds == plain.saved_seconds
    assert plain.making_seconds <= plain.host_seconds  # type: ignore[operator]
    sent = predict(PAPER.override(upload="factored"), **LENT)  # type: ignore[arg-type]
    slow = dataclasses.replace(A100, launch_s=1.0)
    launched = predict(PAPER.override(upload="factored"), **LENT | {"processor": slow})  # type: ignore[arg-type]
    assert launched.host_seconds == 1.0
    assert launched.saved_seconds == sent.saved_seconds < 1e-6


@given(delay=st.floats(1e-3, 50.0), analog_time=st.floats(50.0, 100.0))
def test_a_delay_hides_the_host_once(delay: float, analog_time: float) -> None:
    """No iteration is shorter than what the device takes by itself, and nothing is saved a second time."""
    p = predict(PAPER, **LENT, analog=AnalogSettings(analog_time=analog_time, delay=delay))  # type: ignore[arg-type]
    assert p.saved_seconds == as_table(p)["device"]["overlap_saves_seconds"] == 0.0
    assert p.iteration_at_least_seconds - p.saved_seconds >= p.seconds.at_least * (1 - 1e-12)  # type: ignore[operator]
