"""Curvature of an adapted encoder against brute force in double precision, and dropout's one mask per iteration."""

from importlib.util import find_spec

import pytest
import torch
from torch.func import functional_call

from tests.tiny_encoder import write_encoder, write_questions
from tngd_bench.curvature import GGN
from tngd_bench.datasets.splits import take
from tngd_bench.optimizers import registry as optimizers
from tngd_bench.problems import registry
from tngd_bench.spu import OUProcess

# looked for, not imported: every worker collects this file, and one runs it
pytestmark = pytest.mark.skipif(find_spec("peft") is None, reason="peft is not installed")
LENGTH, BATCH, RANK = 32, 3, 2


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qa")
    options = {
        "encoder": str(write_encoder(folder / "encoder")),
        "train": str(write_questions(folder / "questions.json", repeat=5)),
        "test": str(folder / "questions.json"),
    }
    entry = registry.get("squad-lora", options)
    return entry, entry.load(12, 4, outputs=2 * LENGTH)


@pytest.fixture
def batch(problem):
    """A model in double precision with adapters that are not zero, and a batch."""
    entry, data = problem
    model = entry.model(entry.widths(8 * 2 * 16 * RANK + 34, 2 * LENGTH), 0).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.copy_(0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return model, entry.loss(), take(data.train_inputs, slice(BATCH)), data.train_targets[:BATCH]


def brute_force(model, inputs, targets, seed):
    """(G, ∇ℓ) from the full Jacobian of the logits and an explicit Hessian of the loss, masks drawn from `seed`."""
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    names, shapes = list(trained), [p.shape for p in trained.values()]

    def logits(flat):
        pieces = flat.split([shape.numel() for shape in shapes])
        values = {name: piece.view(shape) for name, piece, shape in zip(names, pieces, shapes, strict=True)}
        torch.manual_seed(seed)
        return functional_call(model, values, kwargs=dict(inputs))

    flat = torch.cat([p.flatten() for p in trained.values()])
    z = logits(flat)
    jacobian = torch.autograd.functional.jacobian(logits, flat).flatten(0, 2)
    p = torch.softmax(z, 1)
    one_hot = torch.zeros_like(p).scatter_(1, targets.unsqueeze(1), 1.0)
    hessian = torch.zeros(*p.shape, *p.shape, dtype=p.dtype)
    for n in range(len(z)):
        for end in range(2):
            q = p[n, :, end]
            hessian[n, :, end, n, :, end] = (torch.diag(q) - torch.outer(q, q)) / (2 * len(z))
    size = z.numel()
    ggn = jacobian.T @ hessian.reshape(size, size) @ jacobian
    return ggn, jacobian.T @ ((p - one_hot).flatten() / (2 * len(z)))


def relative(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_products_equal_brute_force_with_the_same_masks(batch, mode):
    model, loss, inputs, targets = batch
    model.train(mode == "train")
    wanted, gradient = brute_force(model, inputs, targets, seed=5)
    torch.manual_seed(5)
    ggn = GGN(model, loss, inputs, targets)
    assert ggn.matrix_free
    assert ggn.rows == BATCH * 2 * LENGTH
    v = torch.randn(ggn.size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    u = torch.randn(ggn.rows, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(99)  # what follows must not draw again
    assert relative(ggn.matvec(v), wanted @ v) < 1e-9
    assert relative(ggn.gradient, gradient) < 1e-9
    assert relative(ggn.factor_rmatvec(ggn.factor_matvec(v)), wanted @ v) < 1e-9
    assert relative(ggn.factor_rmatvec(ggn.gram_matvec(u)), wanted @ ggn.factor_rmatvec(u)) < 1e-9
    weights, outside = ggn.gradient_weights
    assert relative(ggn.factor_rmatvec(weights) + (0.0 if outside is None else outside), gradient) < 1e-9


def test_rows_made_a_few_columns_at_a_time_are_those_of_the_factor(batch):
    model, loss, inputs, targets = batch
    wanted, _ = brute_force(model.eval(), inputs, targets, seed=5)
    ggn = GGN(model, loss, inputs, targets)
    r = ggn.rows_per_sample
    total = torch.zeros_like(wanted)
    for first in range(0, r, 24):
        rows = torch.zeros(len(range(first, min(first + 24, r))) * BATCH, ggn.size, dtype=torch.float64)
        for block in ggn.column_blocks(first, min(first + 24, r)):
            columns = [k for slot in block.slots for k in range(slot.offset, slot.offset + slot.size)]
            rows[:, columns] = block.rows()
        total += rows.T @ rows
    assert relative(total, wanted) < 1e-9
    assert relative(ggn.dense(), wanted) < 1e-9


@pytest.mark.parametrize("name", ["ngd-cg", "tngd", "kfac"])
def test_a_step_draws_its_masks_once(batch, name, monkeypatch):
    """Were masks drawn again for a product, the generator would be further on than after one forward pass."""
    model, loss, inputs, targets = batch
    settings = {"ngd-cg": {"cg_iterations": 4}, "tngd": {"analog_time": 0.4}, "kfac": {}}[name]
    optimizer = optimizers.get(name).create(model, loss, settings, torch.Generator().manual_seed(0))
    torch.manual_seed(8)
    model(**inputs)
    expected = torch.rand(3)
    torch.manual_seed(8)
    optimizer.step(inputs, targets)
    assert torch.equal(torch.rand(3), expected)


def test_levenberg_marquardt_compares_losses_under_the_same_masks(batch):
    model, loss, inputs, targets = batch
    make = optimizers.get("tngd").create
    settings = {
        "lr": 1e-9,
        "damping": 1.0,
        "analog_time": 0.4,
        "damping_rule": "levenberg-marquardt",
        "damping_interval": 1,
    }
    optimizer = make(model, loss, settings, torch.Generator().manual_seed(0))
    optimizer.step(inputs, targets)
    # a vanishing step along a direction of descent: the quadratic model is exact, if the loss is the same function
    assert optimizer.reduction_ratio == pytest.approx(1.0, abs=1e-3)


def test_one_space_a_relaxation_equals_the_exact_law(batch):
    model, loss, inputs, targets = batch
    ggn = GGN(model.eval(), loss, inputs, targets)
    x0 = torch.randn(ggn.size, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    for start in (x0, torch.zeros_like(x0)):
        for t, damping in ((0.4, 1.0), (20.0, 0.01)):
            krylov = OUProcess(ggn, None, damping, tolerance=1e-10)
            assert krylov.method == "krylov"
            exact = OUProcess(ggn.dense(), ggn.gradient, damping, method="dense").mean(start, t)
            assert relative(krylov.mean(start, t), exact) < 1e-9
    noisy = OUProcess(ggn, None, 1.0, 0.1, tolerance=1e-10)
    exact = OUProcess(ggn.dense(), ggn.gradient, 1.0, 0.1, method="dense")
    draws = [p.sample(x0, 0.4, torch.Generator().manual_seed(6)) for p in (noisy, exact)]
    assert relative(draws[0], draws[1]) < 1e-8


@pytest.mark.parametrize("start", ["zero", "ones"])
def test_a_relaxation_makes_one_product_for_its_start_and_one_a_dimension(batch, start):
    model, loss, inputs, targets = batch
    ggn = GGN(model.eval(), loss, inputs, targets)
    made = []

    class Counting:
        size, rows, gradient, matrix_free = ggn.size, ggn.rows, ggn.gradient, True

        def matvec(self, v):
            made.append(v)
            return ggn.matvec(v)

    process = OUProcess(Counting(), None, 1.0)
    process.mean(torch.full_like(ggn.gradient, float(start == "ones")), 0.1)
    assert process.products == len(made)
    dense = torch.linalg.eigvalsh(ggn.dense())
    # Euler-Maruyama needs δt < 2/(λ_max + λ) at the very least, and 1/50 of that for three digits
    assert len(made) < 50 * 0.1 * float(dense[-1] + 1.0) / 2.0
