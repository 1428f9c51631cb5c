import math
from dataclasses import replace

import pytest
import torch

from tngd_bench.datasets.splits import DataSplits, Subset
from tngd_bench.measure import training
from tngd_bench.measure.training import evaluate, evaluation_points, probe_evaluation, train
from tngd_bench.optimizers import DivergedError
from tngd_bench.problems import registry


def test_curve_has_one_row_per_iteration_and_evaluations_at_fixed_ones(instance, digits, config):
    result = train(instance, digits, config("sgd"), epochs=2, evaluations=4)
    per_epoch = 200 // instance.batch_size
    assert [point.iteration for point in result.curve] == list(range(2 * per_epoch + 1))
    evaluated = [point.iteration for point in result.curve if "test_accuracy" in point.scores]
    assert evaluated == list(evaluation_points(2 * per_epoch, 4)) == [0, 6, 12, 18, 24]
    assert math.isnan(result.curve[0].loss)
    assert result.curve[-1].epoch == 2.0
    assert (result.status, result.reason) == ("ok", None)


def test_curve_is_that_of_a_plain_loop(instance, digits, config):
    result = train(instance, digits, config("sgd"), epochs=1, evaluations=1)
    model, loss = instance.model(), torch.nn.CrossEntropyLoss()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    for point, (inputs, targets) in zip(result.curve[1:], instance.batches(digits), strict=False):
        value = loss(model(inputs), targets)
        assert point.loss == pytest.approx(value.item(), rel=1e-5)
        sgd.zero_grad()
        value.backward()
        sgd.step()
    with torch.no_grad():
        assert result.curve[-1].scores["train_loss"] == pytest.approx(
            loss(model(digits.train_inputs), digits.train_targets).item(), rel=1e-4
        )


def test_optimizers_start_at_the_same_loss_and_see_the_same_first_batch(instance, digits, config):
    curves = [
        train(instance, digits, config(name), epochs=0.2, evaluations=1).curve for name in ("sgd", "tngd")
    ]
    assert curves[0][0].scores["train_loss"] == curves[1][0].scores["train_loss"]
    assert curves[0][1].loss == pytest.approx(curves[1][1].loss, rel=1e-6)


def test_time_leaves_evaluation_out(monkeypatch, instance, digits, config):
    times = iter(range(1000))

    class Ticking:
        def __init__(self, device):
            pass

        def now(self):
            return float(next(times))

    monkeypatch.setattr(training, "Clock", Ticking)
    result = train(instance, digits, config("sgd"), epochs=1, evaluations=12)
    # Every reading of the clock advances it by 1: two readings a step, none for an evaluation.
    assert [point.measured_s for point in result.curve] == [float(point.iteration) for point in result.curve]
    assert next(times) == 2 * (len(result.curve) - 1)


def test_modelled_time_of_a_simulated_run_is_linear_in_iterations(instance, digits, config):
    curve = train(instance, digits, config("tngd"), epochs=1, evaluations=1).curve
    each = curve[1].modelled_s
    assert each > 50e-6
    assert [point.modelled_s for point in curve] == pytest.approx([k * each for k in range(len(curve))])
    digital = train(instance, digits, config("ngd-gram"), epochs=1, evaluations=1).curve
    assert all(point.modelled_s == point.measured_s for point in digital)


def test_a_diverging_run_is_recorded_with_its_curve(instance, digits, config):
    result = train(instance, digits, config("sgd", lr=1e6), epochs=3, evaluations=1)
    assert result.status == "diverged"
    assert "not finite" in result.reason
    assert 1 < len(result.curve) < 3 * (200 // instance.batch_size)
    assert all(math.isfinite(point.loss) for point in result.curve[1:])


def test_a_run_that_ends_on_a_non_finite_loss_is_diverged_too(monkeypatch, instance, digits, config):
    class Destroyer:
        def __init__(self, model):
            self.model = model

        def step(self, inputs, targets):
            with torch.no_grad():
                next(self.model.parameters()).fill_(math.nan)
            return 1.0

    monkeypatch.setattr(type(instance), "optimizer", lambda self, entrant, model: Destroyer(model))
    result = train(instance, digits, config("sgd"), epochs=0.1, evaluations=1)
    assert result.status == "diverged"
    assert "after iteration 1" in result.reason


def test_diverged_error_ends_the_run_where_it_was_raised(monkeypatch, instance, digits, config):
    class Giving:
        def __init__(self):
            self.steps = 0

        def step(self, inputs, targets):
            if self.steps == 2:
                raise DivergedError("the direction", 2)
            self.steps += 1
            return 1.0

    monkeypatch.setattr(type(instance), "optimizer", lambda self, entrant, model: Giving())
    result = train(instance, digits, config("sgd"), epochs=1, evaluations=1)
    assert [point.iteration for point in result.curve] == [0, 1, 2]
    assert result.reason == "the direction is not finite at iteration 2"


def test_evaluation_equals_a_direct_computation_and_leaves_the_mode(instance, digits):
    model, loss = instance.model(), instance.loss()
    model.train()
    found = evaluate(model, loss, digits)
    outputs = model(digits.test_inputs)
    assert found["test_loss"] == pytest.approx(loss(outputs, digits.test_targets).item(), rel=1e-5)
    assert found["test_accuracy"] == sum(outputs.argmax(1) == digits.test_targets).item() / 50
    assert model.training


@pytest.mark.parametrize("batch", [20, 1_000])
def test_a_probe_of_an_evaluation_has_the_better_seconds_of_a_batch_of_test_data(
    monkeypatch, instance, digits, batch
):
    now, passes = [0.0], []

    def outputs(model, part, size):
        passes.append((model.training, len(part), size))
        now[0] += 3.0 if len(passes) == 1 else 1.0

    entry = replace(instance.entry, evaluation_batch=batch)
    monkeypatch.setattr(type(instance), "entry", entry)
    monkeypatch.setattr(training, "_outputs", outputs)
    monkeypatch.setattr(training.OwnClock, "now", lambda clock: now[0])
    samples = min(batch, len(digits.test_targets))
    assert probe_evaluation(instance, digits) == pytest.approx(1.0 / samples)
    assert passes == [(False, samples, batch)] * 2


def test_noise_is_drawn_from_the_named_seed(instance, digits, config):
    def final(seed):
        named = replace(instance, seed_parts=("test", "seed", seed))
        noisy = config("tngd", noise_variance=0.1)
        return train(named, digits, noisy, epochs=0.5, evaluations=1).curve[-1].scores["train_loss"]

    assert final(0) == final(0)
    assert final(0) != final(1)


@pytest.mark.parametrize(("iterations", "evaluations"), [(10, 1), (10, 10), (7, 3), (1, 1)])
def test_evaluation_points_run_from_start_to_end(iterations, evaluations):
    points = evaluation_points(iterations, evaluations)
    assert (points[0], points[-1]) == (0, iterations)
    assert len(set(points)) == evaluations + 1
    assert list(points) == sorted(points)


def test_modelled_time_counts_what_overlaps_once(instance, digits, config, monkeypatch):
    monkeypatch.setattr(training, "_host_seconds", lambda *args: 20e-6)
    each = {}
    for delay in (0.0, 10.0, 40.0):
        tngd = config("tngd", analog_time=50.0, delay=delay)
        each[delay] = train(instance, digits, tngd, epochs=0.1, evaluations=1).curve[1].modelled_s
    # On the paper's device a unit of delay is 1 µs: 10 of the host's 20 µs hide, then all of them.
    assert each[0.0] - each[10.0] == pytest.approx(10e-6)
    assert each[0.0] - each[40.0] == pytest.approx(20e-6)


def test_the_least_stability_margin_and_the_bill_are_kept(instance, digits, config, monkeypatch):
    analog = config("tngd", programming_error=1e-3, damping=0.1)
    seen = []
    create = type(instance).optimizer

    def watched(self, *arguments):
        optimizer = create(self, *arguments)
        step = optimizer.step

        def stepping(*batch):
            value = step(*batch)
            seen.append(optimizer.stability_margin)
            return value

        optimizer.step = stepping
        return optimizer

    monkeypatch.setattr(type(instance), "optimizer", watched)
    result = train(instance, digits, analog, epochs=0.5, evaluations=1)
    assert len(seen) == len(result.curve) - 1
    assert result.stability_margin == min(seen)
    assert 0.0 < min(seen) < max(seen)
    assert result.bill.not_stated == ()
    monkeypatch.undo()
    for digital_or_ideal in (config("sgd"), config("tngd")):
        assert train(instance, digits, digital_or_ideal, epochs=0.2, evaluations=1).stability_margin is None


def test_time_on_a_device_that_states_no_time_for_an_item_is_unknown_not_shorter(instance, digits, config):
    result = train(instance, digits, config("tngd", device="sram-mdac"), epochs=0.2, evaluations=1)
    assert result.bill.not_stated == ("write_cells", "write_convert")
    assert all(math.isnan(point.modelled_s) for point in result.curve[1:])
    assert all(point.measured_s > 0 for point in result.curve[1:])


def test_the_first_step_of_an_optimizer_by_its_class_is_apart_and_changes_nothing(instance, digits, config):
    adam = config("torch.optim:AdamW", weight_decay=0.0)
    torch.manual_seed(5)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    result = train(instance, digits, adam, epochs=0.5, evaluations=1)
    assert torch.equal(torch.rand(1), drawn)  # dropout would see what it sees with other optimizers
    assert result.first_step_s > 0
    assert set(result.routing) == {"AdamW"}
    assert result.routing["AdamW"]["0.weight"] == (11, 64)
    model = instance.model()
    by_hand = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    batches = instance.batches(digits)
    losses = []
    for _ in result.curve[1:]:
        inputs, targets = next(batches)
        by_hand.zero_grad()
        loss = instance.loss()(model(inputs), targets)
        loss.backward()
        by_hand.step()
        losses.append(float(loss.detach()))
    assert [point.loss for point in result.curve[1:]] == losses
    own = train(instance, digits, config("adam"), epochs=0.2, evaluations=1)
    assert (own.first_step_s, own.routing) == (None, None)


def test_an_optimizer_by_its_class_that_diverges_at_once_is_recorded_as_diverged(instance, digits, config):
    broken = replace(digits, train_inputs=digits.train_inputs * math.nan)
    result = train(instance, broken, config("torch.optim:AdamW"), epochs=0.5, evaluations=1)
    assert (result.status, result.reason) == ("diverged", "the loss is not finite at iteration 0")


class Slope(torch.nn.Module):
    """The derivative of a network by its input, taken inside `forward`, times a scale."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(1, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))

    def forward(self, points):
        points = points.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(self.net(points).sum(), points, create_graph=True)
        return slope


def test_a_model_that_differentiates_inside_forward_is_evaluated_and_keeps_no_graph():
    torch.manual_seed(0)
    model, points = Slope(), torch.randn(7, 1)
    part = Subset(points, torch.zeros(7, 1))
    found = training._outputs(model, part, 3)
    assert torch.allclose(found, model(points).detach())
    assert not found.requires_grad


def test_an_error_of_the_model_is_told():
    part = Subset(torch.randn(7, 4), torch.zeros(7, 1))
    with pytest.raises(ValueError, match=r"fails on this batch, in forward: .*cannot be multiplied"):
        training._outputs(torch.nn.Linear(3, 1), part, 3)


def test_evaluation_gives_what_a_plain_pass_gives_and_leaves_every_tensor_as_it_was():
    problem = registry.get("mnist-cnn")
    model = problem.model(problem.widths(2_000), seed=0)
    images, classes = torch.rand(40, 1, 28, 28), torch.arange(40) % 10
    data = DataSplits(images, classes, images[:20], classes[:20], checksum="", source="made up")
    before = [(one, one.data_ptr(), one.stride()) for one in model.parameters()]
    seen = []
    model[0].register_forward_hook(lambda layer, *_: seen.append(layer.weight.stride()))
    found = evaluate(model, torch.nn.CrossEntropyLoss(), data)
    assert set(seen) == {(9, 1, 3, 1)}  # channels last: the 3×3 places of one channel each
    assert [(one, one.data_ptr(), one.stride()) for one in model.parameters()] == before
    expected = torch.nn.functional.cross_entropy(model.double()(images.double()), classes)
    assert found["train_loss"] == pytest.approx(expected.item(), rel=1e-6)


def test_evaluation_hands_a_users_forward_its_images_channels_first():
    class Viewing(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 2, 3)

        def forward(self, images):
            return self.conv(images).view(len(images), -1)

    images, classes = torch.rand(4, 1, 5, 5), torch.arange(4)
    data = DataSplits(images, classes, images, classes, checksum="", source="made up")
    assert math.isfinite(evaluate(Viewing(), torch.nn.CrossEntropyLoss(), data)["test_loss"])
