"""docs/decisions.md: three decisions, their arithmetic written out here without the package, held against both.

Only sizes, rates and the rules that the page states are used: operations of matrix products, a multiply-add as two.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tngd_bench.cli.main import run

PAGE = (Path(__file__).parents[1] / "docs" / "decisions.md").read_text(encoding="utf-8")
H100, WATT, LINK, BITS, RELAX = 66.9e12, 700.0, 50e9, 16, 50e-6
"""FP32 operations a second and power of the H100; the paper's link, word length and 50 τ."""
MATRICES = {
    # inputs, outputs, positions, bias, of each matrix: He et al. 2016, table 1
    "resnet50": [
        (147, 64, 12544, 0),
        *[(64, 64, 3136, 0), (576, 64, 3136, 0), (64, 256, 3136, 0), (64, 256, 3136, 0)],
        *[(256, 64, 3136, 0), (576, 64, 3136, 0), (64, 256, 3136, 0)] * 2,
        *[(256, 128, 3136, 0), (1152, 128, 784, 0), (128, 512, 784, 0), (256, 512, 784, 0)],
        *[(512, 128, 784, 0), (1152, 128, 784, 0), (128, 512, 784, 0)] * 3,
        *[(512, 256, 784, 0), (2304, 256, 196, 0), (256, 1024, 196, 0), (512, 1024, 196, 0)],
        *[(1024, 256, 196, 0), (2304, 256, 196, 0), (256, 1024, 196, 0)] * 5,
        *[(1024, 512, 196, 0), (4608, 512, 49, 0), (512, 2048, 49, 0), (1024, 2048, 49, 0)],
        *[(2048, 512, 49, 0), (4608, 512, 49, 0), (512, 2048, 49, 0)] * 2,
        (2048, 1000, 1, 1),
    ],
    # Radford et al. 2019: 12 blocks of width 768, 1,024 tokens, the head without a bias
    "gpt2": [
        *[(768, 2304, 1024, 1), (768, 768, 1024, 1), (768, 3072, 1024, 1), (3072, 768, 1024, 1)] * 12,
        (768, 50257, 1024, 0),
    ],
    # 8 kernels of 3 × 3 on 28 × 28 pixels, pooled 2 × 2, and two linear layers
    "cnn": [(9, 8, 676, 1), (1352, 734, 1, 1), (734, 10, 1, 1)],
}
NETWORK = {
    "resnet50": "--model resnet50 --batch 256",
    "gpt2": "--model gpt2 --batch 8",
    "cnn": "--problem mnist-cnn --parameters 1e6 --batch 4096",
}
ATTENTION = 12 * 2 * 2 * 1024 * 1024 * 768.0
"""Of GPT-2 and a sequence: queries against keys and weights against values, in 12 blocks."""
SIZES = {
    "resnet50": (25_557_032, 256, 1000),
    "gpt2": (124_439_808, 8, 51_463_168),
    "cnn": (1_000_532, 4096, 10),
}


def forward(name: str) -> float:
    """One sample."""
    return sum(2.0 * d_in * d_out * t for d_in, d_out, t, _ in MATRICES[name]) + ATTENTION * (name == "gpt2")


def backward(name: str) -> float:
    """Gradients of all layers' inputs, of one sample; pixels need none, tokens do, attention has two."""
    d_in, d_out, t, _ = MATRICES[name][0]
    return forward(name) + (ATTENTION if name == "gpt2" else -2.0 * d_in * d_out * t)


def weights(name: str) -> float:
    """Gradients of the weights, of one sample."""
    return forward(name) - ATTENTION * (name == "gpt2")


def kfac(name: str) -> float:
    """Operations of a step: factors once in 10 steps with a backward pass of their own, inverses once in 100.

    The direction is taken by the rows of a batch or by its gradient, whichever takes fewer operations.
    """
    _, b, _ = SIZES[name]
    found = b * (forward(name) + 1.1 * backward(name))
    for d_in, g, t, bias in MATRICES[name]:
        a, rows = float(d_in + bias), float(b * t)
        found += 0.1 * 2 * rows * (a * a + g * g) + 0.01 * (a**3 + float(g) ** 3)
        by_rows = rows * (a * a + g * g) + rows * min(rows * (a + g), a * g)
        by_gradient = a * g * (a + g)
        found += 2 * (min(by_rows, by_gradient) + rows * (d_in if by_gradient < by_rows else a) * g)
    return found


def host(name: str) -> float:
    """Operations of loss, gradient, d_z backward passes, and rows of kernels summed over their positions."""
    _, b, d_z = SIZES[name]
    found = b * (forward(name) + (1 + d_z) * backward(name) + weights(name))
    if name == "cnn":  # of 2 × 2 pixels the pooling passes one on
        return found + 2.0 * b * d_z * 9 * 8 * 676 / 4
    pairs = [(4608, 512, 49, 0)] if name == "resnet50" else []  # cheaper as pairs of positions
    summed = [each for each in MATRICES[name] if each[2] > 1 and each not in pairs]
    return found + sum(2.0 * b * d_z * d_in * d_out * t for d_in, d_out, t, _ in summed)


def words(name: str, upload: str) -> float:
    """Values over the link for the arrays J, H and Jᵀ, or both ends of all layers and H."""
    n, b, d_z = SIZES[name]
    m = float(b * d_z)
    if upload == "full":
        return m * (m + 2 * n)
    ends = m * sum(d_out * t for _, d_out, t, _ in MATRICES[name])
    norms = {"resnet50": 2 * 26_560, "gpt2": 25 * 2 * 768, "cnn": 0}[name]  # a scale and a shift each
    return ends + m * norms + b * sum(d_in * t for d_in, _, t, _ in MATRICES[name]) + m * m


def table(capsys: pytest.CaptureFixture[str], command: str) -> dict[str, Any]:
    assert run([*shlex.split(command), "--processor", "h100", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("name", list(SIZES))
def test_the_code_gives_what_the_arithmetic_gives(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    n, b, d_z = SIZES[name]
    for upload in ("full", "factored"):
        found = table(capsys, f"predict {NETWORK[name]} --set upload={upload}")
        assert (found["parameters"], found["batch_size"], found["outputs"]) == (n, b, d_z)
        seconds = found["device"]["seconds"]
        assert seconds["write_arrays"] == pytest.approx(words(name, upload) * BITS / LINK, rel=1e-9)
        assert seconds["write_gradient"] == seconds["read"] == pytest.approx(n * BITS / LINK)
        assert seconds["relax"] == pytest.approx(RELAX)
    assert found["device"]["host_flops"] == pytest.approx(host(name), rel=1e-6)
    rivals = {row["name"]: row for row in found["digital"]}
    assert rivals["sgd"]["flops"] == pytest.approx(b * (forward(name) + backward(name) + weights(name)))
    assert rivals["kfac"]["flops"] == pytest.approx(kfac(name), rel=1e-9)
    assert rivals["kfac"]["seconds"] == pytest.approx(kfac(name) / H100, rel=1e-9)
    assert rivals["kfac"]["joules"] == pytest.approx(WATT * kfac(name) / H100, rel=1e-9)
    assert found["best_rival"] == "kfac"


@pytest.mark.parametrize(("place", "name"), list(enumerate(SIZES)))
def test_the_page_s_table_is_the_arithmetic(
    place: int, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    n, b, d_z = SIZES[name]
    m = b * d_z
    cg = next(row for row in table(capsys, f"predict {NETWORK[name]}")["digital"] if row["name"] == "ngd-cg")
    rows = {
        "N": n,
        "rows m": m,
        "cells m(m + 2N)": m * (m + 2 * n),
        "link, whole arrays": words(name, "full") * BITS / LINK,
        "link, layer inputs and output gradients": words(name, "factored") * BITS / LINK,
        "host's passes": host(name) / H100,
        "K-FAC, the fastest second-order rival": kfac(name) / H100,
        "exact rival, NGD (CG)": cg["flops"] / H100,
        "energy of the host's passes at 700 W": WATT * host(name) / H100,
        "energy of K-FAC at 700 W": WATT * kfac(name) / H100,
    }
    for title, value in rows.items():
        (line,) = re.findall(rf"^\| {re.escape(title)} \|(.*)\|$", PAGE, re.MULTILINE)
        assert number(line.split("|")[place]) == pytest.approx(value, rel=6e-3), title


def number(text: str) -> float:
    """A figure of the page in SI units."""
    match = re.fullmatch(r"\s*([\d.,]+)(?:·10([⁰¹²³⁴⁵⁶⁷⁸⁹]+))?\s*([a-zA-Z]*)\s*", text)
    assert match is not None, text
    digits = match[1].replace(",", "")
    power = int((match[2] or "0").translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")))
    units = {"": 1.0, "s": 1.0, "ms": 1e-3, "J": 1.0, "kJ": 1e3, "GJ": 1e9}
    return float(digits) * 10.0**power * units[match[3]]


def test_what_would_have_to_change_is_what_require_says(capsys: pytest.CaptureFixture[str]) -> None:
    """The factors in the page's sentences, from times by hand where they are of the host, and from `require`."""
    stopped = table(capsys, f"require {NETWORK['resnet50']}")
    assert stopped["host_times"] == pytest.approx(host("resnet50") / kfac("resnet50"), rel=1e-3)
    assert f"{stopped['host_times']:.0f} times slower" in PAGE
    assert stopped["together"] is None
    sampled = table(capsys, f"require {NETWORK['resnet50']} --outputs 1")
    assert f"{1e3 * sampled['host_seconds']:.0f} ms: still {sampled['host_times']:.3g} times K-FAC" in flat()
    for name, phrase in (("resnet50", "all be {:.0f} times better"), ("gpt2", "each be {:.0f} times better")):
        factors = table(capsys, f"require {NETWORK[name]} --optimizer tkfac")
        assert f"the host takes {1e3 * factors['host_seconds']:.0f} ms" in flat()
        assert phrase.format(factors["together"]["times"]) in flat()
    gram = table(capsys, f"require {NETWORK['cnn']} --beat ngd-gram")
    assert f"{gram['now_seconds'] / gram['rival_seconds']:.3g}0 times slower" in flat()
    needed = {each["name"]: each["needed"] for each in gram["alone"]}
    assert f"A link of {needed['link_rate_bits_per_s'] / 1e9:.1f} Gb/s is enough" in flat()
    assert needed["hessian_array"] is False
    cg = table(capsys, f"require {NETWORK['cnn']} --beat ngd-cg")
    needed = {each["name"]: each["needed"] for each in cg["alone"]}
    assert f"needs {needed['link_rate_bits_per_s'] / 1e12:.2f} Tb/s with the array" in flat()
    assert f"{cg['together']['times']:.2f} times better without it" in flat()
    beyond = table(capsys, f"require {NETWORK['cnn']}")
    assert beyond["host_times"] == pytest.approx(host("cnn") / kfac("cnn"), rel=2e-3)
    assert f"run {beyond['host_times']:.2f} times faster" in flat()
    tensor = table(capsys, f"require {NETWORK['cnn']} --host-precision bf16")
    assert tensor["together"] is not None


def flat() -> str:
    return " ".join(PAGE.split())


def test_its_commands_run_and_say_what_the_page_decides(capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^ {4}tngd-bench (.*)$", PAGE, re.MULTILINE)
    decided = ["out of reach", "out of reach", "within reach of one change", ""]
    assert len(commands) == len(decided)
    for command, decision in zip(commands, decided, strict=True):
        assert run(shlex.split(command)) == 0
        assert decision in capsys.readouterr().out.partition("verdict: ")[2]
