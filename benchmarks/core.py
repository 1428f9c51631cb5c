"""The lower floors against their bars: exact NGD, products, CG, dense, K-FAC and TNGD, as ratios in one run.

    python -m benchmarks.core                 sizes up to 10⁷ (about two minutes)
    python -m benchmarks.core --large         10⁸ as well, with peak memory (needs about 8 GB)
    python -m benchmarks.core --training      the training run of the paper's Fig. 3 on MNIST, one seed

Setting: CNN on MNIST-shaped images, batch 32, 20 outputs, cross-entropy, λ = 0.01, float32, two threads. All calls at
one size are timed in turn, round after round, and compared by medians; "SGD" is a forward and a backward pass. The
bars are this project's own; times vary with the machine, ratios hardly.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.runs import command_line
from tngd_bench.curvature import GGN
from tngd_bench.curvature.verification import OPTIMIZER_INTERVAL
from tngd_bench.optimizers import KFAC, NGD, TKFAC, TNGD
from tngd_bench.problems import registry as problems
from tngd_bench.solvers import CG, Dense
from tngd_bench.spu import Device, OUProcess

Call = Callable[[], object]
Row = tuple[str, str, float, float]
"""What was measured, where, the figure, its bar."""
BATCH, OUTPUTS, DAMPING, THREADS = 32, 20, 0.01, 2
CG_PRODUCTS = 200
EULER_STEPS = 500
EULER_SHARE = 20  # the steps are all alike: one in so many is run, and the time multiplied


def setting(
    parameters: int, batch: int = BATCH, outputs: int = OUTPUTS
) -> tuple[nn.Module, nn.Module, torch.Tensor, torch.Tensor]:
    """Model, loss and a batch of random images: the data do not matter to the time."""
    entry = problems.get("mnist-cnn")
    model = entry.model(entry.widths(parameters, outputs=outputs), seed=0)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(batch, 1, 28, 28, generator=generator)
    return model, nn.CrossEntropyLoss(), inputs, torch.randint(0, 10, (batch,), generator=generator)


class FunctionalProducts:
    """G v by one forward-mode and one reverse-mode call of torch.func, as functional libraries make it."""

    def __init__(
        self, model: nn.Module, loss: nn.Module, inputs: torch.Tensor, targets: torch.Tensor
    ) -> None:
        names = [name for name, _ in model.named_parameters()]
        shapes = [p.shape for p in model.parameters()]
        sizes = [p.numel() for p in model.parameters()]
        self.size = sum(sizes)

        def outputs(flat: torch.Tensor) -> torch.Tensor:
            pieces = [piece.view(shape) for piece, shape in zip(flat.split(sizes), shapes, strict=True)]
            return torch.func.functional_call(model, dict(zip(names, pieces, strict=True)), (inputs,))

        self._outputs = outputs
        self._flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
        self._probabilities = torch.softmax(model(inputs).detach(), 1)

    def matvec(self, v: torch.Tensor) -> torch.Tensor:
        """G v."""
        image = torch.func.jvp(self._outputs, (self._flat,), (v,))[1]
        p = self._probabilities
        weighted = p * (image - (p * image).sum(1, keepdim=True)) / len(p)
        pull = torch.func.vjp(self._outputs, self._flat)[1]
        return pull(weighted)[0]


def medians(calls: Mapping[str, Call], rounds: int) -> dict[str, float]:
    """Median seconds of each call, all of them in turn, round after round, after one round that is not counted."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for counted in range(-1, rounds):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            if counted >= 0:
                samples[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in samples.items()}


def structured(parameters: int, rounds: int) -> list[Row]:
    """(what, where, ratio, bar) for all that works at this size."""
    model, loss, inputs, targets = setting(parameters)

    def sgd() -> None:
        model.zero_grad()
        loss(model(inputs), targets).backward()

    still, _, _, _ = setting(parameters)  # one that no optimizer moves, for products on a fixed batch
    ggn = GGN(still, loss, inputs, targets)
    vector = torch.randn(ggn.size, generator=torch.Generator().manual_seed(1))
    ggn.matvec(vector)
    gram, checked = NGD(model, loss, lr=1e-9), NGD(model, loss, lr=1e-9)
    checked.verification.interval = 1
    tngd = TNGD(model, loss, lr=1e-9)
    spring, layers = NGD(model, loss, lr=1e-9, memory=0.95), NGD(model, loss, lr=1e-9, solver="layer")
    noisy = TNGD(model, loss, lr=1e-9, noise_variance=1e-9, generator=torch.Generator().manual_seed(2))
    calls: dict[str, Call] = {
        "sgd": sgd,
        "gram": lambda: gram.step(inputs, targets),
        "gram, checked": lambda: checked.step(inputs, targets),
        "spring": lambda: spring.step(inputs, targets),
        "layers": lambda: layers.step(inputs, targets),
        "tngd": lambda: tngd.step(inputs, targets),
        "tngd, noise": lambda: noisy.step(inputs, targets),
        "product": lambda: ggn.matvec(vector),
    }
    kfac = KFAC(model, loss, lr=1e-9)  # beyond 10⁶ it makes no step, and so no factors
    peer = FunctionalProducts(still, loss, inputs, targets)
    timed = medians(calls, rounds)
    where, large = f"N = {ggn.size:,}", parameters >= 10**6
    check = (timed["gram, checked"] - timed["gram"]) / OPTIMIZER_INTERVAL
    bar = 1.8 if large else 3.5
    noisy_bar = 1.6 if parameters in (10**6, 10**7) else bar
    rows = [
        ("exact NGD step (Gram) with its checks / SGD", where, (timed["gram"] + check) / timed["sgd"], 6.5),
        ("the same, checked at every step / SGD", where, timed["gram, checked"] / timed["sgd"], 8.0),
        ("GGN product / SGD", where, timed["product"] / timed["sgd"], 1.0),
        ("NGD with memory (SPRING) / NGD (Gram) step", where, timed["spring"] / timed["gram"], 1.15),
        ("NGD by layers / NGD (Gram) step", where, timed["layers"] / timed["gram"], 1.15),
        ("TNGD iteration / NGD (Gram) step", where, timed["tngd"] / timed["gram"], bar),
        ("TNGD iteration with noise / NGD (Gram)", where, timed["tngd, noise"] / timed["gram"], noisy_bar),
    ]
    if parameters > 10**6:
        return rows

    def kfac_cycle() -> None:
        for _ in range(kfac.cycle):
            kfac.step(inputs, targets)

    euler = OUProcess(peer, ggn.gradient, DAMPING, method="euler-maruyama", step=0.1)
    return rows + _slow_rows(calls, kfac_cycle, kfac.cycle, ggn, euler)


def _slow_rows(calls: dict[str, Call], kfac_cycle: Call, cycle: int, ggn: GGN, euler: OUProcess) -> list[Row]:
    kfac_cycle()  # past the early refreshes
    slow: dict[str, Call] = {
        "kfac": kfac_cycle,
        "cg": lambda: CG(CG_PRODUCTS, rtol=0.0, space="parameters").solve(ggn, damping=DAMPING),
        "cg, rows": lambda: CG(CG_PRODUCTS, rtol=0.0).solve(ggn, damping=DAMPING),
        "euler": lambda: euler.mean(ggn.gradient, 0.1 * EULER_STEPS / EULER_SHARE),
    }
    timed = medians(calls | slow, 3)
    where, products = f"N = {ggn.size:,}", CG_PRODUCTS * timed["product"]
    kfac_s, euler_s = timed["kfac"] / cycle, EULER_SHARE * timed["euler"]
    return [
        ("K-FAC step, amortised / SGD", where, kfac_s / timed["sgd"], 2.3),
        ("CG in N, 200 products / 200 GGN products", where, timed["cg"] / products, 1.1),
        ("CG on rows, 200 products / 200 GGN products", where, timed["cg, rows"] / products, 1.1),
        ("TNGD iteration / 500 Euler-Maruyama steps on torch.func", where, timed["tngd"] / euler_s, 1 / 150),
    ]


def dense(parameters: int = 4_000) -> list[Row]:
    """Dense NGD against torch's Cholesky of the same size plus forming G at 70 % of this machine's GEMM rate."""
    entry = problems.get("digits-mlp")
    widths = entry.widths(parameters, outputs=OUTPUTS)
    model, loss = entry.model(widths, seed=0), entry.loss()
    inputs, targets = torch.rand(BATCH, 64), torch.arange(BATCH) % 10
    ggn = GGN(model, loss, inputs, targets)
    matrix = ggn.dense() + DAMPING * torch.eye(ggn.size)
    left, right = torch.rand(2_048, 2_048), torch.rand(2_048, 2_048)
    calls: dict[str, Call] = {
        "dense": lambda: Dense().solve(ggn, damping=DAMPING),
        "cholesky": lambda: torch.linalg.cholesky(matrix),
        "gemm": lambda: left @ right,
    }
    timed = medians(calls, 5)
    rate = 2.0 * 2_048**3 / timed["gemm"]
    forming = 2.0 * ggn.rows * ggn.size**2 / (0.7 * rate)
    ratio = timed["dense"] / (timed["cholesky"] + forming)
    return [("dense NGD / (Cholesky + forming G)", f"N = {ggn.size:,}", ratio, 1.3)]


def programmed(parameters: int = 200_000, batch: int = 128) -> list[Row]:
    """TNGD on arrays whose cells err, drawn anew at each step, against the same on the ideal device."""
    model, loss, inputs, targets = setting(parameters, batch, outputs=10)
    devices = {
        name: TNGD(model, loss, lr=1e-9, device=name, generator=torch.Generator().manual_seed(2))
        for name in ("paper", "rram")
    }
    timed = medians({name: partial(each.step, inputs, targets) for name, each in devices.items()}, 5)
    where = f"N = {parameters:,}, m = {10 * batch:,}"
    return [
        ("TNGD on erring arrays (rram) / on the ideal device", where, timed["rram"] / timed["paper"], 3.0)
    ]


def converted_kfac() -> list[Row]:
    """Thermodynamic K-FAC with noise and converters against K-FAC by eigenvectors, each amortised over a cycle."""
    model = nn.Sequential(nn.Linear(784, 300), nn.Tanh(), nn.Linear(300, 10))
    loss, inputs, targets = nn.CrossEntropyLoss(), torch.rand(64, 784), torch.randint(0, 10, (64,))
    read = Device.preset("paper").override(adc_bits=8)
    noise: dict[str, Any] = {
        "lr": 1e-9,
        "noise_variance": 1e-12,
        "generator": torch.Generator().manual_seed(2),
    }
    optimizers: dict[str, KFAC] = {
        "K-FAC": KFAC(model, loss, lr=1e-9, inverse="eigen"),
        "8-bit ADC": TKFAC(model, loss, device=read, **noise),
        "8-bit ADC, 10-bit DAC": TKFAC(model, loss, device=read.override(dac_bits=10), **noise),
    }

    def step(optimizer: KFAC, iteration: int) -> None:
        optimizer.iteration = iteration
        optimizer.step(inputs, targets)

    kinds = {
        (name, iteration): count
        for name, optimizer in optimizers.items()
        for iteration, count in optimizer.phases
    }
    calls = {f"{name} {iteration}": partial(step, optimizers[name], iteration) for name, iteration in kinds}
    timed = medians(calls, 11)
    cycles = dict.fromkeys(optimizers, 0.0)
    for (name, iteration), count in kinds.items():
        cycles[name] += count * timed[f"{name} {iteration}"]
    rows = [(name, seconds / cycles["K-FAC"]) for name, seconds in cycles.items() if name != "K-FAC"]
    return [(f"tkfac with noise, {name} / K-FAC (eigen)", "784-300-10", ratio, 1.5) for name, ratio in rows]


def _peak_bytes(what: str, parameters: int, answer: multiprocessing.queues.Queue[int]) -> None:
    torch.set_num_threads(THREADS)
    model, loss, inputs, targets = setting(parameters)
    if what == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
        loss(model(inputs), targets).backward()
        optimizer.step()
    elif what == "gram":
        NGD(model, loss, lr=1e-9).step(inputs, targets)
    else:
        noise = torch.Generator().manual_seed(2)
        tngd = TNGD(model, loss, lr=1e-9, noise_variance=1e-9, generator=noise)
        for _ in range(2):  # the second one holds the state that the first left
            tngd.step(inputs, targets)
    # getrusage would answer with the peak of the process this one was started from
    _, _, peak = Path("/proc/self/status").read_text().partition("VmHWM:")
    answer.put(int(peak.split()[0]) * 1024)


def memory(parameters: int) -> list[Row]:
    """Peak resident memory of SGD, exact NGD and TNGD with noise, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    peaks = {}
    for what in ("sgd", "gram", "tngd"):
        answer = context.Queue()
        process = context.Process(target=_peak_bytes, args=(what, parameters, answer))
        process.start()
        peaks[what] = answer.get()
        process.join()
    where = f"N = {parameters:,}"
    return [
        ("peak memory, NGD (Gram) / SGD", where, peaks["gram"] / peaks["sgd"], 3.0),
        ("peak memory, TNGD iterations with noise, GiB", where, peaks["tngd"] / 2**30, 24.0),
    ]


def training() -> list[Row]:
    """The run of the paper's Fig. 3: MNIST, 10,000 images, batch 64, 10 epochs, t = 50τ; seconds of all steps."""
    entry = problems.get("mnist-cnn")
    widths = entry.widths(43_706)
    data = entry.load(train_size=10_000)
    model = entry.model(widths, seed=0)
    optimizer = TNGD(model, entry.loss(), lr=0.01, damping=DAMPING, analog_time=50.0)
    generator = torch.Generator().manual_seed(0)
    begin = time.perf_counter()
    for _ in range(10):
        for batch in torch.randperm(10_000, generator=generator)[: 156 * 64].view(156, 64):
            optimizer.step(data.train_inputs[batch], data.train_targets[batch])
    seconds = time.perf_counter() - begin
    with torch.no_grad():
        accuracy = (model(data.test_inputs).argmax(1) == data.test_targets).float().mean()
    what = f"TNGD, 1,560 iterations, seconds (test accuracy {float(accuracy):.3f})"
    return [(what, "N = 43,706", seconds, 45.0)]


def main() -> None:
    """Print the table."""
    parser = command_line(__doc__)
    parser.add_argument("--large", action="store_true", help="N = 10⁸ as well, and peak memory there")
    parser.add_argument("--training", action="store_true", help="only the training run of the paper's Fig. 3")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    parts: list[Callable[[], list[Row]]] = [
        partial(structured, 10**5, 21),
        partial(structured, 10**6, 11),
        partial(structured, 10**7, 5),
        dense,
        programmed,
        converted_kfac,
    ]
    if options.large:
        parts += [partial(structured, 10**8, 3), partial(memory, 10**8)]
    if options.training:
        parts = [training]
    print(f"torch {torch.__version__}, {THREADS} threads")
    for part in parts:
        for what, where, value, bar in part():
            verdict = "met" if value <= bar else "NOT MET"
            print(f"{what:58} {where:18} {value:8.3g}  bar {bar:<7.3g} {verdict}", flush=True)


if __name__ == "__main__":
    main()
