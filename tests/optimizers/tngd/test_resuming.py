"""Runs of TNGD that are saved and resumed, with generators of their own and without."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.optimizers.tngd.small_network import LOSS, batches, flat, model
from tngd_bench.optimizers import TNGD
from tngd_bench.spu import Device


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"delay": 1.0},
        {"rule": "adam", "betas": (0.9, 0.99)},
        {"momentum": 0.9},
        {"samples": 3, "spacing": 0.5},
        {"damping_rule": "levenberg-marquardt", "damping_interval": 2, "damping": 0.1},
        {
            "device": Device.ideal().override(
                programming_error=0.01, adc_noise_volts=0.01, temperature_kelvin=300.0, stuck_off=0.01
            )
        },
        {"device": Device.ideal().override(array_bits=8), "ensemble": 3},
        {"scope": "layer", "delay": 1.0},
        {"scope": "layer", "device": Device.ideal().override(programming_error=0.01, stuck_off=0.01)},
    ],
)
def test_a_resumed_run_gives_the_same_bits(settings: dict[str, object]) -> None:
    def fresh(network: nn.Module) -> TNGD:
        return TNGD(
            network,
            LOSS,
            lr=0.05,
            analog_time=3.0,
            noise_variance=0.01,
            generator=torch.Generator().manual_seed(3),
            **settings,  # type: ignore[arg-type]
        )

    whole = model()
    straight = fresh(whole)
    stream = batches(6)
    for inputs, targets in stream[:3]:
        straight.step(inputs, targets)
    saved = copy.deepcopy((whole.state_dict(), straight.state_dict()))
    for inputs, targets in stream[3:]:
        straight.step(inputs, targets)

    half = model()
    half.load_state_dict(saved[0])
    resumed = fresh(half)
    resumed.load_state_dict(saved[1])
    for inputs, targets in stream[3:]:
        resumed.step(inputs, targets)
    assert torch.equal(flat(half), flat(whole))
    assert resumed.iteration == straight.iteration == 6


NOISY = Device.ideal().override(
    programming_error=0.01, shared_array=True, adc_noise_volts=0.01, hessian_array=False
)


@pytest.mark.parametrize("settings", [{}, {"samples": 2}, {"device": NOISY}])
def test_without_a_generator_noise_comes_from_torchs_default_one(settings: dict[str, object]) -> None:
    """A default state, as with dropout, is the caller's: seeded alike a run repeats, saved with torch's it resumes."""

    def made(network: nn.Module, generator: torch.Generator | None) -> TNGD:
        return TNGD(network, LOSS, analog_time=3.0, noise_variance=0.01, generator=generator, **settings)  # type: ignore[arg-type]

    network, named = model(), model()
    by_default, by_name = made(network, None), made(named, torch.Generator().manual_seed(7))
    torch.manual_seed(7)
    stream = batches(4)
    for inputs, targets in stream[:2]:
        by_default.step(inputs, targets)
        by_name.step(inputs, targets)
    assert torch.equal(flat(network), flat(named))
    saved, drawn = copy.deepcopy((network.state_dict(), by_default.state_dict())), torch.get_rng_state()
    assert saved[1]["carried"]["generator"] is None
    for inputs, targets in stream[2:]:
        by_default.step(inputs, targets)
    resumed_network = model()
    resumed_network.load_state_dict(saved[0])
    resumed = made(resumed_network, None)
    resumed.load_state_dict(saved[1])
    torch.set_rng_state(drawn)
    for inputs, targets in stream[2:]:
        resumed.step(inputs, targets)
    assert torch.equal(flat(network), flat(resumed_network))
    with pytest.raises(ValueError, match="generator must be given to resume"):
        made(model(), None).load_state_dict(by_name.state_dict())
