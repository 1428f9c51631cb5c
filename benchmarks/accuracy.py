"""Results that faster code must not change: the loss after k steps at a fixed seed, and the device's accuracy."""

import math

from benchmarks.case import OPTIMIZERS, SIZES, make_case
from tngd_bench.measure.optimizer_config import OptimizerConfig

STEPS = 30
DAMPING = 0.01
SAMPLES = 400


def _shown(value: float) -> float:
    """Return a value to six digits: asv prints all that there are."""
    return float(f"{value:.6g}")


class Training:
    """Mean loss over the last five of `STEPS` steps from the same start on the same batches."""

    params = (OPTIMIZERS,)
    param_names = ("optimizer",)
    version = "1"
    unit = "loss"

    def setup_cache(self):
        """Return the losses by optimizer."""
        from tngd_bench.measure.threads import use_threads

        use_threads(1)
        instance, data, names = make_case(SIZES[0])
        losses = {}
        for name in names:
            optimizer = instance.optimizer(OptimizerConfig.of(name), instance.model())
            batches = instance.batches(data)
            losses[name] = [optimizer.step(*next(batches)) for _ in range(STEPS)]
        return losses

    def track_loss(self, losses, optimizer):
        """The same on every run of one machine."""
        return _shown(sum(losses[optimizer][-5:]) / 5) if optimizer in losses else math.nan


class Device:
    """The simulated relaxation against the dense solution it tends to."""

    version = "1"

    def setup_cache(self):
        """Return relative errors: of the mean after a long time, and of the sampled covariance."""
        import torch

        from tngd_bench.curvature import GGN
        from tngd_bench.measure.threads import use_threads
        from tngd_bench.solvers import Dense
        from tngd_bench.spu import OUProcess

        use_threads(1)
        instance, data, _ = make_case(SIZES[0])
        model = instance.model().double()
        inputs, targets = next(instance.batches(data))
        assert isinstance(inputs, torch.Tensor)
        ggn = GGN(model, instance.loss(), inputs.double(), targets)
        solution = Dense().solve(ggn, damping=DAMPING).solution
        still = torch.zeros_like(solution)
        quiet = OUProcess(ggn, ggn.gradient, DAMPING)
        noisy = OUProcess(ggn, ggn.gradient, DAMPING, noise_variance=1e-4)
        generator = torch.Generator().manual_seed(0)
        drawn = torch.stack([noisy.sample(still, 5.0, generator=generator) for _ in range(SAMPLES)])
        variance = torch.diagonal(noisy.covariance(5.0))
        return {
            "mean": float((quiet.mean(still, 1e6) - solution).norm() / solution.norm()),
            "variance": float((drawn.var(dim=0).mean() - variance.mean()).abs() / variance.mean()),
        }

    def track_mean_error(self, errors):
        """Relative error of the mean at t = 10⁶ τ."""
        return _shown(errors["mean"])

    def track_variance_error(self, errors):
        """Relative error of the mean variance over `SAMPLES` samples at t = 5 τ, at a fixed seed."""
        return _shown(errors["variance"])
