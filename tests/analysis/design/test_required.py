"""What a device must reach: against closed forms by hand, the bill's own break-even rates, and brute-force grids."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tngd_bench.analysis.design.levers import choices, figures
from tngd_bench.analysis.design.machine import Design
from tngd_bench.analysis.design.required import Need, least_factor, required, rival_of
from tngd_bench.optimizers.factor_roofline import factors_of
from tngd_bench.optimizers.roofline import Prediction, predict
from tngd_bench.problems.outside.published import gpt2
from tngd_bench.spu.analog_settings import AnalogSettings
from tngd_bench.spu.billing import break_even_link_rate
from tngd_bench.spu.device import Device
from tngd_bench.spu.kronecker import billing as kronecker
from tngd_bench.spu.processor import Processor

PAPER = Device.preset("paper")
EPYC = Processor.named("epyc-7763")


def predicted(device: Device = PAPER, processor: Processor = EPYC, **size: object) -> Prediction:
    given_ = {"parameters": 20_000, "batch_size": 64, "outputs": 10, **size}
    return predict(device, processor=processor, **given_)  # type: ignore[arg-type]


def need(found: tuple[Need, ...], name: str) -> Need:
    (one,) = [each for each in found if each.name == name]
    return one


def test_link_time_constant_and_words_are_those_of_the_formula_by_hand() -> None:
    """m = 640 rows: 640·40,640 cells and 2 · 20,000 values at 16 bits, 50 τ, and the host's own seconds."""
    p = predicted()
    assert p.host_seconds is not None
    bits, relax = 16 * (640 * 40_640 + 2 * 20_000), 50e-6
    # a target that link, words and τ can each reach alone: what 40 % of the bits, or no relaxation at all, leave
    rival = rival_of(p, "ngd")
    assert rival.seconds is not None
    target = p.host_seconds + relax + 0.4 * bits / 50e9
    found = required(Design(p), "ngd", rival.seconds / target)
    assert found.target_seconds == pytest.approx(target)
    assert need(found.alone, "link_rate_bits_per_s").needed == pytest.approx(50e9 / 0.4)
    assert need(found.alone, "word_bits").needed == 6  # 0.4 · 16 = 6.4
    assert need(found.alone, "resistance_ohm").needed is None
    only = required(Design(p), "ngd", rival.seconds / (p.host_seconds + bits / 50e9 + 0.1 * relax))
    assert need(only.alone, "resistance_ohm").needed == pytest.approx(1e-7, rel=1e-6)
    assert found.now_seconds == pytest.approx(p.host_seconds + relax + bits / 50e9)


@settings(max_examples=25, deadline=None)
@given(
    parameters=st.integers(10**3, 10**8),
    batch_size=st.integers(1, 2048),
    outputs=st.integers(1, 200),
    factor=st.floats(1e-4, 30.0),
    overlap=st.booleans(),
    upload=st.sampled_from(["full", "factored"]),
)
def test_a_link_alone_is_the_bill_s_break_even_rate(
    parameters: int, batch_size: int, outputs: int, factor: float, overlap: bool, upload: str
) -> None:
    """Closed form with overlap (two linear pieces) against bisection over the predicted seconds."""
    size = {"parameters": parameters, "batch_size": batch_size, "outputs": outputs, "overlap": overlap}
    p = predicted(PAPER.override(upload=upload), Processor.named("epyc-7763"), **size)
    if p.host_seconds is None or rival_of(p, "sgd").seconds is None:
        return
    found = required(Design(p), "sgd", factor)
    making = p.making_seconds if overlap else 0.0
    rate = break_even_link_rate(p.device, p.work, found.target_seconds, p.host_seconds, making)
    needed = need(found.alone, "link_rate_bits_per_s").needed
    if found.reached:
        assert needed == p.device.link_rate_bits_per_s
        assert rate is not None
        assert rate <= 50e9 * (1 + 1e-9)
    elif rate is None or rate > 50e9 * 1e12:
        assert needed is None
    else:
        assert needed == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize("optimizer", ["tngd", "tkfac"])
@pytest.mark.parametrize("device", ["paper", "rram", "sram-mdac"])
@pytest.mark.parametrize("factor", [0.001, 0.02, 1.0])
def test_what_is_needed_is_enough_and_anything_less_is_not(
    optimizer: str, device: str, factor: float
) -> None:
    """Alone and together, against a grid of factors and every combination of words."""
    p = predicted(Device.preset(device), parameters=10**6, batch_size=512)
    design = Design(p, optimizer)
    found = required(design, "ngd-gram", factor)
    numbers, words = list(figures(design)), list(choices(design))
    grid = [10 ** (step / 7) for step in range(85)]
    for figure in numbers:
        times = [design.seconds(figure.better(design.now, k)) for k in grid]
        assert times == sorted(times, reverse=True)  # better figures never cost time
        one = need(found.alone, figure.name)
        enough = [k for k, seconds in zip(grid, times, strict=True) if seconds <= found.target_seconds]
        assert (one.needed is not None) == bool(enough)
        if enough:
            assert one.seconds <= found.target_seconds * (1 + 1e-9)
            worst = figure.value(figure.better(design.now, enough[0]))
            now = figure.value(design.now)
            assert abs(math.log(one.needed / now)) <= abs(math.log(worst / now)) + 1e-9  # type: ignore[operator]
    better = [figure for figure in numbers if not figure.changes_values]
    ways = list(
        itertools.product(*((lambda m: m, *choice.ways) for choice in words if not choice.changes_values))
    )
    assert len(ways) <= 300

    def together(k: float) -> float:
        least = math.inf
        for way in ways:
            machine = design.now
            for change in (*way, *(lambda m, f=f: f.better(m, k) for f in better)):
                machine = change(machine)
            least = min(least, design.seconds(machine))
        return least

    if found.together is None:
        assert together(1e12) > found.target_seconds
        assert found.floor_seconds == pytest.approx(together(1e12))
    else:
        assert found.together.seconds <= found.target_seconds * (1 + 1e-9)
        assert together(found.together.times * (1 + 1e-9)) <= found.target_seconds * (1 + 1e-9)
        if found.together.times > 1.0:
            assert together(found.together.times * (1 - 1e-6)) > found.target_seconds


@given(power=st.floats(0.1, 3.0), target=st.floats(1e-9, 2.0))
def test_the_least_factor_is_where_the_seconds_fall_to_the_target(power: float, target: float) -> None:
    found = least_factor(lambda k: k**-power, target)
    exact = target ** (-1 / power)
    if target >= 1.0:
        assert found == 1.0
    elif exact > 1e12 * (1 + 1e-6):
        assert found is None
    elif exact < 1e12 * (1 - 1e-6):
        assert found == pytest.approx(exact, rel=1e-9)


def test_copies_are_those_of_the_bill() -> None:
    p = predicted(parameters=10**6, batch_size=4096)
    design = Design(p, "tkfac")
    rival = rival_of(p, "kfac")
    assert rival.seconds is not None
    shapes = kronecker.FactorShape.of(p.model.layers)
    work = kronecker.KroneckerWorkload(shapes, 50.0, 1, 100)
    for factor in (0.01, 0.05, 0.2, 1.0):
        host = design.host_seconds(design.now)
        copies = kronecker.break_even_copies(p.device, work, rival.seconds / factor, host)
        assert need(required(design, "kfac", factor).alone, "copies").needed == copies


def test_out_of_reach_is_stopped_by_the_host_and_says_by_how_much() -> None:
    p = predicted(PAPER, Processor.named("h100"), parameters=10**6, batch_size=4096)
    found = required(Design(p), "sgd", 50.0)
    assert found.together is found.together_as_is is None
    assert all(one.needed is None for one in found.alone)
    assert found.floor_seconds == pytest.approx(found.host_floor_seconds, rel=1e-3)
    assert found.host_times == pytest.approx(found.floor_seconds / found.target_seconds, rel=1e-2)


def test_tiles_and_their_writing_are_among_what_can_be_changed() -> None:
    device = Device.preset("rram").override(tile_rows=128, tile_columns=128)
    p = predicted(device, parameters=10**6)
    tiles = need(required(Design(p), "ngd-gram", 1e-3).alone, "tiles_written_at_once")
    assert tiles.now == 1
    assert isinstance(tiles.needed, int)
    assert tiles.needed > 1


def test_a_network_whose_host_lacks_memory_has_its_floor_and_what_is_missing() -> None:
    p = predict(PAPER, model=gpt2(), batch_size=8, outputs=50_257, processor=Processor.named("h100"))
    small = dataclasses.replace(p.processor, memory_bytes=1e10)  # type: ignore[type-var]
    p = predict(PAPER, model=gpt2(), batch_size=8, outputs=50_257, processor=small)
    with pytest.raises(ValueError, match="has no time on this processor"):
        rival_of(p, "kfac")
    assert Design(p).host_missing_bytes == p.host_missing_bytes > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beat": "kfca"}, "beat must be one of: best, .*did you mean 'kfac'"),
        ({"factor": 0.0}, "factor must be a finite number > 0"),
        ({"factor": math.nan}, "factor must be a finite number > 0"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        required(Design(predicted()), **arguments)  # type: ignore[arg-type]


def test_a_design_needs_a_processor_and_a_relaxation() -> None:
    with pytest.raises(ValueError, match="needs a processor"):
        Design(predict(PAPER, parameters=1000, batch_size=8, outputs=10))
    with pytest.raises(ValueError, match="optimizer must be one of: tngd, tkfac"):
        Design(predicted(), "sgd")


@pytest.mark.parametrize("refinements", [0, 3])
@pytest.mark.parametrize("overlap", [False, True])
def test_a_design_as_it_is_takes_what_is_predicted(refinements: int, overlap: bool) -> None:
    """Of both optimizers, refinements and overlap included; Kronecker factors by the rows that `predict` prints."""
    analog = AnalogSettings(refinements=refinements)
    p = predicted(parameters=10**6, batch_size=256, analog=analog, overlap=overlap)
    design = Design(p)
    assert design.seconds(design.now) == pytest.approx(p.iteration_at_least_seconds)
    assert design.host_seconds(design.now) == pytest.approx(p.host_seconds)
    factors = factors_of(p)
    assert factors is not None
    p = dataclasses.replace(p, overlap=False)
    for row in factors.rows:
        own = Design(p, "tkfac", row.copies)
        assert own.seconds(own.now) == pytest.approx(row.iteration_seconds)


@pytest.mark.parametrize("optimizer", ["tngd", "tkfac"])
@pytest.mark.parametrize("parameters", [10**3, 10**12, 10**17])
def test_a_figure_has_a_row_however_little_it_takes(optimizer: str, parameters: int) -> None:
    """τ is in the relaxation of every iteration, beside however long a link; the host's precision is in none of it."""
    p = predicted(parameters=parameters, batch_size=64, outputs=10, depth=2)
    assert p.seconds.items["relax"] == pytest.approx(50e-6)
    design = Design(p, optimizer)
    names = {figure.name for figure in figures(design)} - {"copies"}
    assert names == {"link_rate_bits_per_s", "word_bits", "resistance_ohm"}


@pytest.mark.parametrize("name", ["epyc-7763", "h100"])
def test_one_output_has_one_k_fac_and_one_host_of_it(name: str) -> None:
    """With a table of embeddings too, whose parameters are in no layer: the rival's row, the block, the design."""
    p = predict(PAPER, model=gpt2(16), batch_size=8, outputs=4, processor=Processor.named(name))
    factors = factors_of(p)
    assert factors is not None
    (own,) = (each.seconds for each in p.alternatives if each.name == "kfac")
    assert factors.digital_seconds == own
    design = Design(p, "tkfac")
    assert factors.host_seconds == design.host_seconds(design.now)
