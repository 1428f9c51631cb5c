"""Names and settings of the optimizers, checked without torch."""

import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tngd_bench import arguments, plugins
from tngd_bench.optimizers import registry
from tngd_bench.optimizers.entry import Style

NAMES = (
    "sgd",
    "adam",
    "kfac",
    "ngd",
    "ngd-woodbury",
    "ngd-gram",
    "ngd-cg",
    "ngd-layer",
    "spring",
    "tngd",
    "tngd-adam",
    "tkfac",
    "ngd-cg-device",
)


def test_all_are_there_and_checking_needs_no_torch() -> None:
    code = (
        "import sys; from tngd_bench.optimizers import registry; "
        "registry.get('tngd').check({'device': 'paper', 'adc_bits': 8}); "
        "print(*registry.names()); print('torch' in sys.modules)"
    )
    lines = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    assert tuple(lines[0].split()) == NAMES
    assert lines[1] == "False"


@pytest.mark.parametrize("name", NAMES)
def test_each_trains_with_its_defaults(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    inputs, targets = torch.randn(24, 6), torch.arange(24) % 3
    entry = registry.get(name)
    entry.check(entry.defaults)
    optimizer = entry.create(model, nn.CrossEntropyLoss(), {"lr": 0.05}, torch.Generator().manual_seed(0))
    values = [optimizer.step(inputs, targets) for _ in range(25)]
    assert values[-1] < values[0]


@pytest.mark.parametrize(("name", "theirs"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)])
def test_first_order_is_torch_itself(name: str, theirs: type[torch.optim.Optimizer]) -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    other = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    other.load_state_dict(ours.state_dict())
    inputs, targets = torch.randn(24, 6), torch.arange(24) % 3
    entry = registry.get(name)
    stepper = entry.create(ours, nn.CrossEntropyLoss(), {"lr": 0.01})
    reference = theirs(other.parameters(), lr=0.01)  # type: ignore[call-arg]
    for _ in range(5):
        value = stepper.step(inputs, targets)
        reference.zero_grad()
        loss = nn.CrossEntropyLoss()(other(inputs), targets)
        loss.backward()
        reference.step()
        assert value == float(loss.detach())
    for a, b in zip(ours.parameters(), other.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("tngd", {"dampin": 0.1}, "tngd has no setting 'dampin'; did you mean 'damping'"),
        ("tngd", {"damping": -0.1}, "damping must be a finite number >= 0, not -0.1"),
        ("tngd", {"adc_bits": 0}, "adc_bits must be an integer >= 1 and <= 32, not 0; None means ideal"),
        ("tngd", {"device": "papr"}, "did you mean 'paper'"),
        ("sgd", {"lr": 0}, "lr must be a finite number > 0"),
        ("kfac", {"fisher": "true"}, "fisher must be one of: mc, exact, empirical"),
        ("ngd-cg", {"cg_iterations": 0}, "cg_iterations must be an integer >= 1"),
        ("ngd-gram", {"cg_iterations": 10}, "ngd-gram has no setting 'cg_iterations'"),
    ],
)
def test_bad_settings_are_refused_with_what_is_accepted(
    name: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        registry.get(name).check(settings)


def test_unknown_name_is_answered_with_a_suggestion() -> None:
    with pytest.raises(
        ValueError, match=r"optimizer must be one of: .*; not 'ngd-gramm'; did you mean 'ngd-gram'"
    ):
        registry.get("ngd-gramm")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delay": 60.0}, "delay must be <= analog_time = 50, not 60"),
        ({"delay": 5.0, "start": "zero"}, "delay > 0 needs start = 'previous', not 'zero'"),
        ({"delay": 5.0, "ensemble": 2}, "delay must be 0 with ensemble = 2"),
        ({"row_sum_noise": True}, "temperature_kelvin must be given with row_sum_noise"),
        ({"device": {"base": "paper", "adc_bit": 1}}, "did you mean 'adc_bits'"),
        ({"device": {"name": "mine"}}, "a device needs base"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_a_model_is_there(
    settings: dict[str, object], message: str
) -> None:
    for name in ("tngd", "tngd-adam"):
        with pytest.raises(ValueError, match=message):
            registry.get(name).check_complete(settings)
        with pytest.raises(ValueError, match=message):
            registry.get(name).create(nn.Linear(2, 2), nn.MSELoss(), settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("red", "#000000", "o"), "light must be a colour such as #0f62cf, not 'red'"),
        (("#ffffff", "#0000", "o"), "dark must be a colour"),
        (("#ffffff", "#000000", "big"), "marker must be one of"),
    ],
)
def test_a_style_that_cannot_be_drawn_is_refused(arguments: tuple[str, str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Style(*arguments)


def test_a_cycle_of_no_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="cycle must be an integer >= 1, not 0"):
        sound(cycle=lambda settings: 0).check_complete({})


def sound(**fields: object) -> registry.OptimizerEntry:
    """Return an outside entry with some fields replaced."""
    given = {
        "name": "o",
        "title": "O",
        "summary": "s",
        "family": "first-order",
        "factory": "m:f",
        "settings": {},
    }
    return registry.OptimizerEntry(**given | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (sound(name=7), "name must be text, not 7"),
        (sound(name="mine[2]"), "name must be one line without brackets"),
        (sound(name=" mine"), "without blanks at its ends, not ' mine'"),
        (sound(name="mine\nyours"), "name must be one line"),
        (sound(name="torch.optim:Adam"), "name must not have the form MODULE:CLASS"),
        (sound(summary=None), "summary must be text, not None"),
        (sound(factory=None), "factory must be text, not None"),
        (sound(family="third-order"), "family must be one of: first-order, kfac"),
        (sound(settings=None), "settings must be a mapping of names to Setting, not None"),
        (sound(settings={"lr": 0.1}), r"settings\['lr'\] must be a Setting, not 0.1"),
        (
            sound(settings={"lr": registry.Setting(-1, partial(arguments.real, above=0.0))}),
            "lr must be a finite number > 0",
        ),
        (sound(settings={"lr": registry.Setting(-1, lambda name, value: 1 / 0)}), "ZeroDivisionError"),
        (sound(cost=3.0), "cost must be a function, not 3.0"),
        (sound(cycle=3), "cycle must be a function, not 3"),
        (sound(style="red"), "style must be a Style, not 'red'"),
        (sound(exact=-1), "exact must be an integer >= 0"),
        (
            sound(settings={"lr": registry.Setting(0.1, arguments.real, (0.0, 1.0))}),  # type: ignore[arg-type]
            r"settings\['lr'\].search must be a SearchRange",
        ),
    ],
)
def test_an_outside_entry_that_cannot_be_used_is_left_out_and_named(
    entry: registry.OptimizerEntry, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = registry.names()
    point = SimpleNamespace(name="x", value="package:ENTRY", load=lambda: entry)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    monkeypatch.setattr(plugins, "_COMPLAINTS", {})
    registry._found.cache_clear()
    try:
        assert registry.names() == known
        with pytest.raises(ValueError, match=f"not 'x'.*entry point x = .*cannot be used: .*{message}"):
            registry.get("x")
        assert len(plugins.complaints()) == 1
    finally:
        registry._found.cache_clear()


def test_an_outside_entry_is_called_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by that of its entry point, which no message, label or record would have."""
    entry = sound(name="größer als, SGD")
    point = SimpleNamespace(name="x", value="package:ENTRY", load=lambda: entry)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    registry._found.cache_clear()
    try:
        assert registry.get("größer als, SGD") is entry
        assert not registry.is_known("x")
    finally:
        registry._found.cache_clear()
