"""Wall time of an optimizer's step on real digits, one thread: all of a size interleaved in one process.

One run of `setup_cache` measures everything; asv stores what the methods pick from it as distributions.
"""

from benchmarks.case import OPTIMIZERS, SIZES, make_case
from tngd_bench.measure.optimizer_config import OptimizerConfig

REPETITIONS = 16
"""Samples a side; with 6 or fewer, asv's test can never fire."""
LEAST_REPETITIONS, SECONDS_LIMIT = 8, 1.5
"""Of an optimizer whose step is long."""


class Step:
    """Seconds of `.step()`; a simulated method's time contains its simulation of the device."""

    params = (OPTIMIZERS, SIZES)
    param_names = ("optimizer", "parameters")
    version = "1"
    timeout = 300

    def setup_cache(self):
        """Return the samples by (optimizer, parameters)."""
        from tngd_bench.measure.cost import measure_cost
        from tngd_bench.measure.threads import use_threads

        use_threads(1)
        samples = {}
        for parameters in SIZES:
            instance, data, names = make_case(parameters)
            configs = [OptimizerConfig.of(name) for name in names]
            for result in measure_cost(
                instance,
                data,
                configs,
                repetitions=REPETITIONS,
                least_repetitions=LEAST_REPETITIONS,
                seconds_limit=SECONDS_LIMIT,
                simulating=True,
            ):
                if result.status != "ok":
                    raise RuntimeError(f"{result.label}: {result.reason}")
                samples[result.label, parameters] = [iteration.step_s for iteration in result.iterations]
        return samples

    def track_step(self, samples, optimizer, parameters):
        """Seconds."""
        if (optimizer, parameters) not in samples:
            return float("nan")  # asv's "n/a": a step of that size is no regression test
        return {"samples": samples[optimizer, parameters], "number": 1}

    track_step.unit = "seconds"  # type: ignore[attr-defined]

    def track_step_over_sgd(self, samples, optimizer, parameters):
        """Ratio to SGD's step of the same round: what changes with the machine's load stays out."""
        if (optimizer, parameters) not in samples:
            return float("nan")
        pairs = zip(samples[optimizer, parameters], samples["sgd", parameters], strict=False)
        # asv prints a ratio with all its digits: few of them, and an odd count, so that the median is one of them
        ratios = [float(f"{step / sgd:.4g}") for step, sgd in pairs]
        return {"samples": ratios[: len(ratios) - 1 + len(ratios) % 2], "number": 1}

    track_step_over_sgd.unit = "× SGD"  # type: ignore[attr-defined]
