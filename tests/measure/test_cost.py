import math
import time
from collections import Counter
from itertools import pairwise

import pytest
import torch

from tests.measure.conftest import Probe
from tngd_bench.measure.cost import (
    MINIMUM_REPETITIONS,
    TIMED_STEPS,
    WARM_UP_SAMPLES,
    WARM_UP_STEPS,
    balanced_orders,
    measure_cost,
    probe_step,
)
from tngd_bench.measure.settling import SETTLING_STEPS, SHORT_STEP_S
from tngd_bench.measure.step_timer import device_seconds
from tngd_bench.optimizers import DivergedError
from tngd_bench.optimizers.tngd.optimizer import TNGD
from tngd_bench.spu.ledger import Ledger


@pytest.fixture
def timed(told, instance, digits, config):
    """A measurement of probes."""

    def run(probes, **limits):
        told(probes)
        limits = {"repetitions": 4, "seconds_limit": 10.0, **limits}
        return measure_cost(instance, digits, [config("sgd", probe.name) for probe in probes], **limits)

    return run


def test_rounds_are_interleaved_on_shared_batches_in_turning_order(timed):
    log = []
    timed([Probe(name, log) for name in "abc"], repetitions=6)
    timed = log[3 * WARM_UP_STEPS :]
    turn = SETTLING_STEPS + TIMED_STEPS
    rounds = [timed[k : k + 3 * turn] for k in range(0, len(timed), 3 * turn)]
    orders = [["abc"[place] for place in order] for order in balanced_orders(3)[:3]]
    assert [[name for name, _ in r] for r in rounds] == [
        [name for name in order for _ in range(turn)] for order in orders
    ]
    for r in rounds:
        by_name = {name: [batch for other, batch in r if other == name] for name in "abc"}
        assert by_name["a"] == by_name["b"] == by_name["c"]
    assert len({r[0][1] for r in rounds}) == len(rounds)


def test_long_steps_take_single_turns_and_pair_with_the_first_of_a_short_turn(timed):
    log = []
    probes = [Probe("short", log, 0.5 * SHORT_STEP_S), Probe("long", log, 1.5 * SHORT_STEP_S)]
    short, long = timed(probes, repetitions=4)
    rounds = "".join(name[0] for name, _ in log[WARM_UP_STEPS + 1 :])
    assert rounds == "sssl" + "lsss" + "l" + "l", "the long one needs no second warm-up"
    assert [i.repetition for i in short.iterations] == [0, 1, 2, 3]
    assert [i.repetition for i in long.iterations] == [0, 2, 4, 6]


def test_the_first_step_is_small_and_the_second_whole(timed):
    sizes = []

    class Sizing(Probe):
        def step(self, inputs, targets):
            sizes.append(len(targets))
            return super().step(inputs, targets)

    timed([Sizing("a", [])], repetitions=3)
    assert sizes[:WARM_UP_STEPS] == [WARM_UP_SAMPLES, 16]
    assert set(sizes[1:]) == {16}


def test_periodic_work_is_timed_as_often_as_it_happens(timed):
    class Periodic(Probe):
        """Takes 1 ms for a step, and one more where the step has periodic work, every 10th."""

        def step(self, inputs, targets):
            self.seconds = 1e-3 * (1 + (self.steps % 10 == 0))
            return super().step(inputs, targets)

    (result,) = timed([Periodic("a", [])], repetitions=20)
    assert sum(iteration.step_s > 1.5e-3 for iteration in result.iterations) == 2


def test_warm_up_is_not_among_the_timings(timed):
    log = []
    (result,) = timed([Probe("a", log)])
    assert len(log) == WARM_UP_STEPS + 2 * (SETTLING_STEPS + 2)
    assert [iteration.repetition for iteration in result.iterations] == [0, 1, 2, 3]


def test_repetitions_shrink_under_the_limit_but_not_below_three(timed):
    log = []
    quick, slow = timed([Probe("quick", log), Probe("slow", log, 0.03)], repetitions=8, seconds_limit=0.05)
    assert len(quick.iterations) == 8
    assert len(slow.iterations) == MINIMUM_REPETITIONS


def test_the_least_number_of_repetitions_can_be_asked_for(timed):
    (slow,) = timed([Probe("slow", [], 0.03)], repetitions=8, seconds_limit=0.01, least_repetitions=2)
    assert len(slow.iterations) == 2


def test_times_are_those_of_the_step(timed):
    (result,) = timed([Probe("a", [], 0.02)])
    for iteration in result.iterations:
        assert iteration.step_s == pytest.approx(0.02)
        assert iteration.digital_s == iteration.step_s == iteration.total_s


def test_divergence_and_defects_take_out_only_their_own_optimizer(timed):
    log = []
    diverging = Probe(
        "diverging", log, fails_at=WARM_UP_STEPS + SETTLING_STEPS + 3, error=DivergedError("the loss", 3)
    )
    broken = Probe("broken", log, fails_at=0, error=RuntimeError("no such luck"))
    good, bad, worse = timed([Probe("good", log), diverging, broken])
    assert (good.status, len(good.iterations)) == ("ok", 4)
    assert (bad.status, len(bad.iterations)) == ("diverged", 2), "those of the rounds before"
    assert "the loss is not finite at iteration 3" in bad.reason
    assert (worse.status, worse.iterations) == ("failed", ())
    assert worse.reason == "RuntimeError: no such luck"


def test_each_timing_is_announced_before_it_is_made(monkeypatch, instance, digits, config):
    log = []
    monkeypatch.setattr(type(instance), "optimizer", lambda self, entrant, model: Probe(entrant.label, log))
    measure_cost(
        instance,
        digits,
        [config("sgd", "a"), config("sgd", "b")],
        repetitions=3,
        seconds_limit=1.0,
        on_timing=lambda label: log.append(label),
    )
    for place, item in enumerate(log):
        if isinstance(item, tuple):
            said = [earlier for earlier in log[:place] if isinstance(earlier, str)]
            assert said[-1] == item[0]


def test_a_simulated_optimizer_is_billed_host_and_device_not_simulation(instance, digits, config):
    digital, analog = measure_cost(
        instance, digits, [config("ngd-gram"), config("tngd")], repetitions=3, seconds_limit=1.0
    )
    for iteration in digital.iterations:
        assert (iteration.write_s, iteration.relax_s, iteration.read_s) == (0.0, 0.0, 0.0)
    n = sum(p.numel() for p in instance.model().parameters())
    m = instance.rows
    bit_s = 16 / 50e9  # 16 bits a word over 50 Gb/s: the paper's device
    for iteration in analog.iterations:
        assert math.isnan(iteration.step_s), "nothing was simulated"
        assert iteration.digital_s > 0
        assert iteration.write_s == pytest.approx((n + m * (m + 2 * n)) * bit_s)
        assert iteration.relax_s == pytest.approx(50e-6)
        assert iteration.read_s == pytest.approx(n * bit_s)
        assert iteration.total_s == pytest.approx(
            iteration.digital_s + iteration.write_s + iteration.relax_s + iteration.read_s
        )


@pytest.mark.parametrize("upload", ["full", "factored"])
def test_a_bill_without_a_simulation_is_that_of_a_simulated_step(instance, digits, config, upload):
    device = {"samples": 3, "spacing": 2.0, "ensemble": 2, "upload": upload}
    (analog,) = measure_cost(instance, digits, [config("tngd", **device)], repetitions=2, seconds_limit=1.0)
    model = instance.model()
    stepped = instance.optimizer(config("tngd", **device), model)
    stepped.step(*next(instance.batches(digits)))
    assert dict(analog.bill.items) == dict(stepped.ledger.items)


def test_a_device_of_factors_is_billed_from_the_factors_of_its_host(instance, digits, config):
    settings = {"copies": 3, "inverse_interval": 5, "factor_interval": 5}
    (analog,) = measure_cost(
        instance, digits, [config("tkfac", **settings)], repetitions=2, seconds_limit=1.0
    )
    stepped = instance.optimizer(config("tkfac", **settings), instance.model())
    stepped.step(*next(instance.batches(digits)))
    assert analog.status == "ok"
    assert dict(analog.bill.items) == dict(stepped.ledger.items)
    for iteration in analog.iterations:
        assert math.isnan(iteration.step_s), "nothing was simulated"
        assert iteration.digital_s > 0
        assert iteration.relax_s == analog.bill.relax
    ranged = config("tkfac", conductance_max_siemens=1e-4)
    (simulated,) = measure_cost(instance, digits, [ranged], repetitions=1, seconds_limit=1.0)
    assert simulated.iterations[0].step_s > 0


def test_a_step_is_simulated_only_where_the_bill_depends_on_it(instance, digits, config, monkeypatch):
    steps = []
    monkeypatch.setattr(TNGD, "_direction", _noted(TNGD._direction, steps))
    plain, ranged = (
        config("tngd", label, **given)
        for label, given in (("plain", {}), ("ranged", {"conductance_max_siemens": 1e-4}))
    )
    (bare,) = measure_cost(instance, digits, [plain], repetitions=2, seconds_limit=1.0)
    assert (bare.status, steps) == ("ok", [])
    (scaled,) = measure_cost(instance, digits, [ranged], repetitions=2, seconds_limit=1.0)
    assert steps
    assert all(iteration.step_s > 0 for iteration in scaled.iterations)
    assert scaled.iterations[0].relax_s > bare.iterations[0].relax_s, "a range slows settling"


def _noted(direction, steps):
    def noting(self, inputs, targets):
        steps.append(len(targets))
        return direction(self, inputs, targets)

    return noting


def test_an_item_the_device_does_not_price_is_not_zero():
    bill = Ledger("s", {"write_gradient": 1.0, "write_arrays": None, "relax": 2.0, "read": 0.5})
    write, relax, read, _ = device_seconds(bill, 0.0)
    assert math.isnan(write)
    assert (relax, read) == (2.0, 0.5)


def test_iterations_on_a_device_without_every_price_have_no_total_but_a_bill(instance, digits, config):
    digital, analog = measure_cost(
        instance,
        digits,
        [config("sgd"), config("tngd", device="sram-mdac")],
        repetitions=2,
        seconds_limit=1.0,
    )
    assert digital.bill is None
    assert analog.bill.not_stated == ("write_cells", "write_convert")
    for iteration in analog.iterations:
        assert math.isnan(iteration.write_s)
        assert math.isnan(iteration.total_s)
        assert iteration.relax_s == pytest.approx(50e-6)
        assert iteration.relax_s + iteration.read_s < analog.bill.at_least


def test_the_clock_adds_little_to_a_bare_loop(instance, digits, config):
    # The harness around a step and the bare step in turn, the least of each: what others take of the machine is not
    # in the least of many, and what the harness adds to every step is.
    torch.set_num_threads(1)
    inside, bare = [], []
    for _ in range(5):
        (result,) = measure_cost(instance, digits, [config("ngd-gram")], repetitions=12, seconds_limit=5.0)
        inside += [iteration.step_s for iteration in result.iterations]
        optimizer = instance.optimizer(config("ngd-gram"), instance.model())
        for _, (inputs, targets) in zip(range(14), instance.batches(digits), strict=False):
            start = time.perf_counter()
            optimizer.step(inputs, targets)
            bare.append(time.perf_counter() - start)
    assert len(inside) == 60
    assert min(inside) < 1.2 * min(bare)


def test_a_delay_lets_the_host_work_while_the_device_relaxes(instance, digits, config):
    (analog,) = measure_cost(
        instance, digits, [config("tngd", analog_time=50.0, delay=30.0)], repetitions=3, seconds_limit=1.0
    )
    for iteration in analog.iterations:
        device_s = iteration.write_s + iteration.relax_s + iteration.read_s
        assert iteration.relax_s == pytest.approx(50e-6)
        # The delayed part of the relaxation, 30 µs on the paper's device, hides behind the host, or the host behind it.
        together = max(iteration.digital_s, 30e-6)
        assert iteration.total_s == pytest.approx(device_s - 30e-6 + together)
        assert iteration.total_s < iteration.digital_s + device_s


@pytest.mark.parametrize("count", range(1, 12))
def test_places_and_predecessors_are_balanced(count):
    orders = balanced_orders(count)
    assert all(sorted(order) == list(range(count)) for order in orders)
    places = Counter((place, who) for order in orders for place, who in enumerate(order))
    assert len(places) == count**2
    assert len(set(places.values())) == 1
    followed = Counter(pair for order in orders for pair in pairwise(order))
    assert len(followed) == count * (count - 1)
    assert len(set(followed.values())) <= 1


def test_no_optimizers_have_one_order():
    assert balanced_orders(0) == [()]


@pytest.mark.parametrize(("seconds", "before", "steps"), [(0.03, 1, 1), (0.01, 2, 3), (0.001, 2, 7)])
def test_a_step_is_probed_as_a_block_would_make_it(seconds, before, steps, told, instance, digits, config):
    probe = Probe("a", [], seconds)
    told([probe])
    found = probe_step(instance, digits, config("sgd", "a"), simulating=False)
    assert (found.made_s, found.before_s, found.step_s) == pytest.approx((0.0, before * seconds, seconds))
    assert found.repeated is None
    assert probe.steps == before + steps


def test_a_probe_of_a_training_simulates_the_device_that_a_block_bills_alone(
    monkeypatch, instance, digits, config
):
    simulated, steps = [], {True: 2, False: 0}  # the first step and a timed one
    step = TNGD.step
    monkeypatch.setattr(TNGD, "step", lambda self, *batch: simulated.append(1) or step(self, *batch))
    for simulating, least in steps.items():
        simulated.clear()
        assert probe_step(instance, digits, config("tngd"), simulating=simulating).step_s > 0
        assert len(simulated) >= least
        assert simulating or not simulated


def test_a_probe_that_fails_says_why(told, instance, digits, config):
    told([Probe("a", [], 0.03, fails_at=1, error=ValueError("no step"))])
    with pytest.raises(RuntimeError, match="a failed: ValueError: no step"):
        probe_step(instance, digits, config("sgd", "a"), simulating=False)
