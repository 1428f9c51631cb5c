"""Our own entries pass the conformance checks, and a plug-in that lacks something fails the check that asks for it."""

import re
from pathlib import Path

import pytest

from tngd_bench import plugin_files
from tngd_bench.check import conformance
from tngd_bench.check.conformance import CHECKS
from tngd_bench.check.examination import outcome, subjects_of
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.problems import registry as problems
from tngd_bench.spu.device import Device

SLOW_CHECKS = ("operations", "memory")  # seconds for the dense and the conjugate gradient's steps
QUICK = ("sgd", "kfac", "ngd-gram", "tngd")
OWN_OPTIMIZERS = [name for name in optimizers.names() if optimizers.origin(name) is None]


@pytest.fixture(autouse=True)
def forgotten():
    yield
    plugin_files.forget()


def checked(kind, check, name):
    status, found = outcome(check, name)
    assert status in ("passed", "skipped"), f"{kind} {name}, {check.__name__}: {found}"
    skippable = ("on_cuda", "problem_on_cuda", "curvature", "engine_results")
    assert status == "passed" or check.__name__ in skippable, found


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow(reason="half a second each"))
        for name in OWN_OPTIMIZERS
    ],
)
def test_our_optimizers_pass(name):
    for check in CHECKS["optimizer"]:
        if check.__name__ not in SLOW_CHECKS:
            checked("optimizer", check, name)


@pytest.mark.slow(reason="counts operations and measures memory of every optimizer")
@pytest.mark.parametrize("name", OWN_OPTIMIZERS)
@pytest.mark.parametrize("check", SLOW_CHECKS)
def test_our_optimizers_state_honest_costs(name, check):
    checked("optimizer", getattr(conformance.optimizers, check), name)


@pytest.mark.parametrize(
    "name",
    ["digits-mlp", pytest.param("causal-lm", marks=pytest.mark.slow(reason="reads text, 1,000 outputs"))],
)
def test_our_problems_pass(name):
    assert problems.origin(name) is None
    for check in CHECKS["problem"]:
        checked("problem", check, name)


@pytest.mark.parametrize(
    "name",
    [
        name if name != "board" else pytest.param(name, marks=pytest.mark.slow(reason="simulates"))
        for name in Device.presets()
    ],
)
def test_our_devices_pass(name):
    for check in CHECKS["device"]:
        checked("device", check, name)


HEAD = """
import math, random, torch
from tngd_bench.optimizers import DivergedError
from tngd_bench.optimizers.entry import OptimizerEntry, Setting
from tngd_bench.optimizers.settings import POSITIVE

class Plain:
    def __init__(self, model, loss, *, generator, lr):
        self.model, self.loss, self.lr, self.count, self.generator = model, loss, lr, 0, generator
        self.parameters = [p for p in model.parameters() if p.requires_grad]

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]

    def rate(self):
        return self.lr

    def step(self, inputs, targets):
        loss = self.loss(self.model(inputs), targets)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DivergedError("the loss", self.count)
        gradients = torch.autograd.grad(loss, self.parameters)
        with torch.no_grad():
            for p, g in zip(self.parameters, gradients):
                p -= self.rate() * g
        self.count += 1
        return value

class Mine(Plain):
"""
TAIL = """

def cost(*, parameters, batch_size, **size):
    return {flops} * batch_size * parameters, {numbers} * parameters

ENTRY = OptimizerEntry(
    "mine", "Mine", "mine", "first-order", f"{{__name__}}:Mine", {{"lr": Setting(0.1, POSITIVE)}}, cost=cost
)
"""
FLAWS = {
    "contract": [
        (
            "def step(self, *batch):\n        super().step(*batch)\n        return None",
            "returned None, no float",
        ),
        ("def rate(self):\n        return 0.0", "step changed no parameter"),
        ("def step(self, *batch):\n        return super().step(*batch) / 2", "and the loss was"),
    ],
    "determinism": [("def rate(self):\n        return self.lr * random.random()", "different losses")],
    "resume": [
        (
            "def rate(self):\n        self.again = getattr(self, 'again', 0) + 1\n        return self.lr / self.again",
            "other",
        ),
    ],
    "same start and batches": [
        (
            "def step(self, x, y):\n        value = super().step(x, y)\n        x.mul_(2)\n        return value",
            "the batch",
        ),
        (
            "def rate(self):\n        torch.manual_seed(0)\n        return self.lr",
            "seeds, a global random generator",
        ),
        (
            "def rate(self):\n        random.seed(0)\n        return self.lr",
            "seeds, a global random generator",
        ),
        (
            "def rate(self):\n        self.model.eval()\n        return self.lr",
            "left the model in another mode",
        ),
        (
            "def __init__(self, *args, **named):\n        super().__init__(*args, **named)\n"
            "        torch.nn.init.zeros_(self.parameters[0])",
            "making it changed the start",
        ),
    ],
    "failed step": [
        (
            "def step(self, x, y):\n        loss = self.loss(self.model(x), y)\n        loss.backward()\n"
            "        with torch.no_grad():\n"
            "            for p in self.parameters:\n                p -= self.lr * p.grad\n"
            "                p.grad = None\n        self.count += 1\n        return float(loss.detach())",
            "went on and returned nan",
        ),
        (
            "def step(self, x, y):\n        with torch.no_grad():\n            self.parameters[0].mul_(1.5)\n"
            "        return super().step(x, y)",
            "parameters were changed by a step that failed",
        ),
    ],
    "convex problem": [("def rate(self):\n        return -self.lr", "the loss went from")],
}
CASES = [(check, *flaw) for check, flaws in FLAWS.items() for flaw in flaws]


def plugin(folder, body="pass", flops=6, numbers=4):
    path = Path(folder) / "mine.py"
    path.write_text(HEAD + f"    {body}\n" + TAIL.format(flops=flops, numbers=numbers))
    assert subjects_of(str(path)) == [("optimizer", "mine")]


@pytest.mark.parametrize(("check", "body", "said"), CASES, ids=[f"{case[0]}: {case[2]}" for case in CASES])
def test_a_flaw_fails_its_check(tmp_path, check, body, said):
    plugin(tmp_path, body)
    status, found = outcome(getattr(conformance.optimizers, check.replace(" ", "_")), "mine")
    assert status == "failed"
    assert said in found


@pytest.mark.slow(reason="counts operations and measures memory")
def test_a_plain_one_passes_everything(tmp_path):
    plugin(tmp_path)
    for check in CHECKS["optimizer"]:
        checked("optimizer", check, "mine")


TAGGER = """import torch
from torch import nn
from tngd_bench.problems import problem_of
tokens = torch.arange(80).view(20, 4) % 7
part = tokens, torch.where(tokens == 3, -100, tokens % 3)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.last = nn.Embedding(7, 5), nn.Linear(5, 3)
    def forward(self, x):
        return self.last(self.table(x))
PROBLEM = problem_of("tags", Net, lambda: (part, part), outputs=12{more})
"""


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", ("passed", "accuracy")),
        (
            ", metrics=(ACCURACY,), values=lambda z, y: {'accuracy': 4.0}",
            ("failed", "4.0 is no share between 0 and 1"),
        ),
    ],
)
def test_a_small_problem_with_a_class_at_each_position_has_a_share_of_them(tmp_path, more, expected):
    path = tmp_path / "tags.py"
    path.write_text("from tngd_bench.problems.metrics import ACCURACY\n" + TAGGER.replace("{more}", more))
    assert subjects_of(str(path)) == [("problem", "tags")]
    status, found = outcome(conformance.problems.scores, "tags")
    assert status == expected[0], found
    assert expected[1] in found


COARSE = """import torch
from torch import nn
from tngd_bench.problems import problem_of
part = torch.rand(20, 4), torch.arange(20) % 3
def net(width):
    return nn.Sequential(nn.Linear(4, {step} * width), nn.ReLU(), nn.Linear({step} * width, 3))
PROBLEM = problem_of("coarse", net, lambda: (part, part), outputs=3)
"""


@pytest.mark.parametrize("step", [900, 1_000, 2_000, 40_000])  # 7,203 w + 3 and so on: none near 10,000
def test_a_problem_whose_models_are_far_between_is_checked_at_one_of_them(tmp_path, step):
    path = tmp_path / "coarse.py"
    path.write_text(COARSE.format(step=step))
    assert subjects_of(str(path)) == [("problem", "coarse")]
    sizes = [8 * step * width + 3 for width in (1, 2)]
    assert not any(9_800 <= size <= 10_200 for size in sizes)
    status, found = outcome(conformance.problems.sizes, "coarse")
    assert status == "passed", found
    assert any(f"N = {size:,} " in found for size in sizes)


def test_a_model_that_cannot_be_made_is_not_called_refused_by_optimizers(tmp_path):
    path = tmp_path / "coarse.py"
    path.write_text(
        COARSE.format(step=900) + "def fails(found):\n    raise ValueError('no model')\n"
        "import dataclasses\nPROBLEM = dataclasses.replace(PROBLEM, build=fails)\n"
    )
    assert subjects_of(str(path)) == [("problem", "coarse")]
    assert outcome(conformance.problems.curvature, "coarse")[0] == "failed"


@pytest.mark.parametrize(("flops", "said"), [(0.1, "its cost states"), (60, "its cost states")])
def test_a_cost_that_lies_about_operations_fails(tmp_path, flops, said):
    plugin(tmp_path, flops=flops)
    status, found = outcome(conformance.optimizers.operations, "mine")
    assert (status, said in found) == ("failed", True)


@pytest.mark.slow(reason="measures memory")
def test_memory_that_is_not_stated_fails(tmp_path):
    plugin(
        tmp_path,
        "def rate(self):\n        self.kept = torch.ones(12_000_000)\n        return self.lr",
        numbers=4,
    )
    status, found = outcome(conformance.optimizers.memory, "mine")
    assert (status, "MB measured" in found) == ("failed", True)


def test_what_is_no_plugin_is_refused_with_what_is_accepted():
    with pytest.raises(ValueError, match=r"'nothing' is no plug-in; accepted: FILE.py, a name"):
        subjects_of("nothing")
    assert subjects_of("sgd") == [("optimizer", "sgd")]
    assert subjects_of("paper") == [("device", "paper")]
    assert subjects_of("torch.optim:NAdam") == [("optimizer", "torch.optim:NAdam")]


def test_the_page_prints_every_file_of_the_checks():
    files = {path.name for path in Path(conformance.__file__).parent.glob("*.py")}
    page = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text("utf-8")
    shown = re.findall(r"^```\{literalinclude\} \.\./tngd_bench/check/conformance/(\S+)$", page, re.M)
    assert sorted(shown) == sorted(files)
