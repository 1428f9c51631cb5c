"""On a GPU the suite computes what it computes on the CPU; skipped where torch sees none."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tests.studies.recorder import Recorder
from tests.tiny_encoder import write_encoder, write_questions
from tngd_bench.curvature import GGN
from tngd_bench.measure.clock import multiplication_rate
from tngd_bench.measure.cost import measure_cost
from tngd_bench.measure.environment import describe_environment, machine_class
from tngd_bench.measure.inspection import inspect_step
from tngd_bench.measure.optimizer_config import OptimizerConfig
from tngd_bench.measure.problem_instance import ProblemInstance
from tngd_bench.measure.training import train
from tngd_bench.optimizers import KFAC, NGD, TNGD, registry
from tngd_bench.problems import registry as problems
from tngd_bench.spu import Device, OUProcess
from tngd_bench.studies.file.reading import LoadedStudy, make_study
from tngd_bench.studies.run.run_study import run_study
from tngd_bench.studies.store.records import read_records

GPU = "cuda"
BOTH = ("cpu", GPU)
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
LOSS = nn.CrossEntropyLoss()
ROUNDING = 2e-4
"""Relative difference of float32 results in another order of summation, after products and a solve."""


@pytest.fixture(autouse=True)
def _whole_float32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def dense_network():
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.Tanh(), nn.Linear(16, 5))


def convolutional_network():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 8),
        nn.Tanh(),
        nn.Linear(8, 5),
    )


class ManyOutputs(nn.Module):
    """Classes at each of many positions, more than are given a row each: products go through J and Jᵀ."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.LayerNorm(12), nn.Linear(12, 60))

    def forward(self, images):
        return self.layers(images.squeeze(1))  # (b, 6, 60)


NETWORKS = {"dense": dense_network, "convolutional": convolutional_network, "many outputs": ManyOutputs}


def make(name, processor):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        return NETWORKS[name]().to(processor)


def batch(name, number, processor):
    generator = torch.Generator().manual_seed(number)
    inputs = torch.rand(8, 1, 6, 6, generator=generator)
    shape = (8, 6) if name == "many outputs" else (8,)
    return inputs.to(processor), torch.randint(0, 5, shape, generator=generator).to(processor)


def vector(length, processor):
    return torch.randn(length, generator=torch.Generator().manual_seed(9)).to(processor)


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def assert_near(found, expected, tolerance=ROUNDING):
    assert found.device.type == GPU
    difference = torch.linalg.vector_norm(found.cpu().double() - expected.double())
    assert float(difference) <= tolerance * float(torch.linalg.vector_norm(expected.double())) + 1e-12


@pytest.mark.parametrize("name", NETWORKS)
def test_curvature(name):
    here, there = (GGN(make(name, p), LOSS, *batch(name, 0, p)) for p in BOTH)
    assert here.matrix_free == there.matrix_free == (name == "many outputs")
    assert_near(there.gradient, here.gradient)
    assert_near(there.gradient_weights[0], here.gradient_weights[0])
    assert_near(there.matvec(vector(here.size, GPU)), here.matvec(vector(here.size, "cpu")))
    assert_near(there.factor_matvec(vector(here.size, GPU)), here.factor_matvec(vector(here.size, "cpu")))
    assert_near(there.gram_matvec(vector(here.rows, GPU)), here.gram_matvec(vector(here.rows, "cpu")))
    assert_near(there.factor_rmatvec(vector(here.rows, GPU)), here.factor_rmatvec(vector(here.rows, "cpu")))
    assert_near(there.gram(), here.gram())
    if name != "many outputs":
        assert_near(there.factor(), here.factor())
        assert_near(there.dense(), here.dense())


OPTIMIZERS = {
    "gram": lambda model: NGD(model, LOSS, solver="gram"),
    "cg": lambda model: NGD(model, LOSS, solver="cg"),
    "dense": lambda model: NGD(model, LOSS, solver="dense"),
    "woodbury": lambda model: NGD(model, LOSS, solver="woodbury"),
    "kfac": lambda model: KFAC(model, LOSS, fisher="exact"),
    "kfac eigen": lambda model: KFAC(model, LOSS, fisher="empirical", inverse="eigen"),
    "tngd gram": lambda model: TNGD(model, LOSS, analog_time=5.0, method="gram"),
    "tngd krylov": lambda model: TNGD(model, LOSS, analog_time=5.0, method="krylov"),
    "tngd dense": lambda model: TNGD(model, LOSS, analog_time=5.0, method="dense"),
    "tngd stepped": lambda model: TNGD(model, LOSS, analog_time=1.0, method="euler-maruyama"),
    "tngd delayed": lambda model: TNGD(model, LOSS, analog_time=5.0, delay=1.0, rule="adam"),
    "tngd damping": lambda model: TNGD(
        model, LOSS, analog_time=5.0, damping_rule="levenberg-marquardt", damping_interval=2
    ),
    "tngd mismatch": lambda model: TNGD(
        model, LOSS, analog_time=5.0, device=Device.preset("paper").override(capacitor_mismatch=0.02)
    ),
}


def run(name, optimizer, processor):
    """How far the parameters have come in four steps, and the losses before each."""
    model = make(name, processor)
    start, made = flat(model), OPTIMIZERS[optimizer](model)
    losses = [made.step(*batch(name, number, processor)) for number in range(4)]
    return flat(model) - start, losses


@pytest.mark.parametrize("name", ["dense", "convolutional"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_take_the_same_steps(optimizer, name):
    (here, losses_here), (there, losses_there) = (run(name, optimizer, processor) for processor in BOTH)
    assert losses_there == pytest.approx(losses_here, rel=1e-3)
    assert_near(there, here, 1e-2)


@pytest.mark.parametrize("optimizer", ["cg", "tngd krylov", "tngd delayed"])
def test_optimizers_take_the_same_steps_with_many_outputs(optimizer):
    (here, _), (there, _) = (run("many outputs", optimizer, processor) for processor in BOTH)
    assert_near(there, here, 1e-2)


def test_covariance_and_path_of_the_process():
    model = make("dense", GPU)
    ggn = GGN(model, LOSS, *batch("dense", 0, GPU))
    process = OUProcess(ggn, None, 0.1, noise_variance=0.01)
    covariance = process.covariance(2.0)
    assert_near(covariance.diagonal().sum().reshape(1), _trace_on_the_cpu().reshape(1), 1e-3)
    drawn = process.path(torch.zeros(ggn.size, device=GPU), [1.0, 2.0], torch.Generator(GPU).manual_seed(0))
    assert drawn.shape == (2, ggn.size)
    assert bool(torch.isfinite(drawn).all())


def _trace_on_the_cpu():
    ggn = GGN(make("dense", "cpu"), LOSS, *batch("dense", 0, "cpu"))
    return OUProcess(ggn, None, 0.1, noise_variance=0.01).covariance(2.0).diagonal().sum()


NOISY = {
    "noise": {"noise_variance": 1e-4},
    "converters": {"dac_bits": 10, "adc_bits": 10, "adc_noise_volts": 1e-3, "noise_variance": 1e-4},
    "arrays": {"programming_error": 0.01, "array_bits": 8},
    "capacitors": {"capacitor_mismatch": 0.02, "noise_variance": 1e-4},
    "rails": {"rail_volts": 1.0, "analog_time": 1.0},
}


@pytest.mark.parametrize("kind", NOISY)
def test_noise_and_imperfections_are_drawn_on_the_gpu_and_again_from_the_same_seed(kind):
    ends = []
    for _ in range(2):
        model = make("dense", GPU)
        settings = {"analog_time": 5.0, **NOISY[kind]}
        made = registry.get("tngd").create(model, LOSS, settings, torch.Generator(GPU).manual_seed(4))
        for number in range(2):
            made.step(*batch("dense", number, GPU))
        ends.append(flat(model))
    assert torch.equal(*ends)
    assert bool(torch.isfinite(ends[0]).all())


@pytest.mark.parametrize("optimizer", ["kfac", "tngd"])
def test_a_resumed_run_goes_on_the_same(optimizer, tmp_path):
    def begin():
        model = make("dense", GPU)
        generator = torch.Generator(GPU).manual_seed(4)
        settings = {"noise_variance": 1e-3} if optimizer == "tngd" else {}
        return model, registry.get(optimizer).create(model, LOSS, settings, generator)

    model, whole = begin()
    for number in range(2):
        whole.step(*batch("dense", number, GPU))
    torch.save((model.state_dict(), whole.state_dict()), tmp_path / "state.pt")
    again, resumed = begin()
    for stored, target in zip(
        torch.load(tmp_path / "state.pt", weights_only=False), (again, resumed), strict=True
    ):
        target.load_state_dict(stored)
    for number in range(2, 4):
        whole.step(*batch("dense", number, GPU))
        resumed.step(*batch("dense", number, GPU))
    assert torch.equal(flat(again), flat(model))


def config(name, **settings):
    entry = registry.get(name)
    return OptimizerConfig(name, name, {**entry.defaults, **settings}, entry.simulated)


def digits_on(processor):
    return ProblemInstance("digits-mlp", 1000, 10, 16, "float32", ("test", "seed", 0), processor=processor)


def test_measurements():
    data = problems.get("digits-mlp").load(train_size=200, test_size=50)
    names = ("sgd", "adam", "kfac", "ngd-gram", "tngd")
    results = measure_cost(
        digits_on(GPU), data, [config(name) for name in names], repetitions=4, seconds_limit=1.0
    )
    assert {result.label: (result.status, result.reason) for result in results} == dict.fromkeys(
        names, ("ok", None)
    )
    for name in names:
        found, expected = (inspect_step(digits_on(p), data, config(name)) for p in (GPU, "cpu"))
        assert found.operations.flops == pytest.approx(expected.operations.flops, rel=0.05)
        weights = 4 * 1000
        assert weights < found.memory.peak_bytes < 1e9
    assert multiplication_rate(GPU) > multiplication_rate("cpu")


def test_training_starts_and_goes_alike():
    data = problems.get("digits-mlp").load(train_size=200, test_size=50)
    curves = [
        train(digits_on(processor), data, config("tngd"), epochs=1, evaluations=2).curve for processor in BOTH
    ]
    for here, there in zip(*curves, strict=True):
        assert there.scores.get("train_loss") == pytest.approx(
            here.scores.get("train_loss"), rel=1e-2, nan_ok=True
        )
        assert there.scores.get("test_accuracy") == pytest.approx(
            here.scores.get("test_accuracy"), abs=0.05, nan_ok=True
        )


@pytest.fixture
def study():
    return {
        "name": "on-a-gpu",
        "title": "On a GPU",
        "execution": {"processor": GPU, "trial_seconds_limit": 120},
        "cost": [
            {
                "name": "size",
                "problem": "digits-mlp",
                "parameters": 1000,
                "batch_size": 8,
                "optimizers": ["sgd", "tngd"],
                "processes": 1,
                "repetitions": 3,
                "seconds_limit": 0.5,
            }
        ],
    }


def test_a_study_runs_on_it_and_says_so(study, tmp_path):
    loaded = LoadedStudy(make_study(study), "test")
    run_study(loaded, tmp_path, Recorder())
    records = read_records(tmp_path)
    assert set(records.trials["status"]) == {"ok"}
    assert records.environment["gpu"] == torch.cuda.get_device_name()
    assert records.environment["cuda"] == torch.version.cuda
    assert set(records.trials["machine"]) == {torch.cuda.get_device_name()}
    assert records.trials["peak_bytes"].gt(0).all()
    assert describe_environment(GPU)["gpu"] == machine_class(GPU)["gpu"]


def test_question_answering_by_an_encoder_with_dropout(tmp_path):
    pytest.importorskip("transformers")
    pytest.importorskip("peft")
    questions = str(write_questions(tmp_path / "questions.json", repeat=5))
    options = {"encoder": str(write_encoder(tmp_path / "encoder")), "train": questions, "test": questions}
    setting = ProblemInstance(
        "squad-lora", 546, 96, 4, "float32", ("test", "seed", 0), tuple(options.items()), processor=GPU
    )
    data = problems.get("squad-lora", options).load(16, 4, outputs=96)
    first = {}
    for name in ("adam", "tngd", "kfac", "ngd-cg"):
        torch.manual_seed(5)
        result = train(setting, data, config(name), epochs=1, evaluations=1)
        assert result.status == "ok"
        assert math.isfinite(result.curve[-1].test_loss)
        first[name] = result.curve[1].loss
    # the same masks for all, whatever was timed before the first step
    assert len(set(first.values())) == 1
