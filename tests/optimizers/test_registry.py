"""Names and settings of the optimizers, checked without torch."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from tngd_bench.optimizers import costs, registry

NAMES = ("sgd", "adam", "kfac", "ngd", "ngd-woodbury", "ngd-gram", "ngd-cg", "tngd", "tngd-adam")


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


def test_predicted_growth_follows_table_1() -> None:
    """Exponents of arXiv 2405.13817, Table 1, where the terms in question dominate."""

    def exponent(name: str, quantity: str, **sizes: tuple[int, int]) -> float:
        ends = []
        for end in (0, 1):
            chosen = {key: values[end] for key, values in sizes.items()}
            n, b, d = chosen.get("n", 10**7), chosen.get("b", 32), chosen.get("d", 20)
            cost = costs.predicted_cost(name, parameters=n, rows=b * d, batch_size=b, outputs=d)
            ends.append(getattr(cost, quantity))
        ((low, high),) = sizes.values()
        return float(torch.log(torch.tensor(ends[1] / ends[0])) / torch.log(torch.tensor(high / low)))

    large = (10**7, 10**8)
    assert exponent("ngd", "flops", n=large) == pytest.approx(3.0, abs=0.02)
    assert exponent("ngd", "bytes", n=large) == pytest.approx(2.0, abs=0.02)
    assert exponent("ngd-woodbury", "flops", n=large) == pytest.approx(1.0, abs=0.02)
    assert exponent("ngd-woodbury", "flops", b=(32, 64)) == pytest.approx(2.0, abs=0.1)
    assert exponent("ngd-woodbury", "flops", d=(20, 40)) == pytest.approx(2.0, abs=0.1)
    assert exponent("ngd-cg", "flops", n=large) == pytest.approx(1.0, abs=0.02)
    assert exponent("tngd", "flops", n=large) == pytest.approx(1.0, abs=0.05)
    # the m³ of simulating the device shows in d until N dominates
    assert 1.0 < exponent("tngd", "flops", d=(20, 40)) < 1.5
