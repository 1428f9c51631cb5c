"""Wall time of one optimizer step on real digits: one thread, small and medium models."""

import torch

from tngd_bench.optimizers import registry as optimizers
from tngd_bench.optimizers.costs import predicted_cost
from tngd_bench.problems import registry as problems

BATCH_SIZE = 32
# A step beyond this many operations takes seconds; as a regression test it would tell nothing more.
MOST_OPERATIONS = 2e10


class Step:
    """Seconds of `.step()`; a simulated method's time contains its simulation of the device."""

    params = (
        ["sgd", "adam", "kfac", "ngd", "ngd-woodbury", "ngd-gram", "ngd-cg", "tngd", "tngd-adam"],
        [1_000, 20_000],
    )
    param_names = ("optimizer", "parameters")
    version = "1"
    number = 1
    # At least 8 samples in each of the two rounds: below 7 a side, no comparison can ever be significant.
    repeat = (8, 40, 4.0)
    rounds = 2

    def setup(self, optimizer: str, parameters: int) -> None:
        """Build the model and take the step that pays for what is allocated once."""
        problem = problems.get("digits-mlp")
        widths = problem.widths(parameters)
        cost = predicted_cost(
            optimizer,
            parameters=widths.parameters,
            rows=BATCH_SIZE * widths.outputs,
            batch_size=BATCH_SIZE,
            outputs=widths.outputs,
            layers=widths.layers,
        )
        if cost.flops > MOST_OPERATIONS:
            # asv's sign for "not applicable": the cell is shown as n/a.
            raise NotImplementedError
        torch.set_num_threads(1)
        splits = problem.load(train_size=BATCH_SIZE)
        self.inputs, self.targets = splits.train_inputs, splits.train_targets
        self.optimizer = optimizers.get(optimizer).create(
            problem.model(widths, seed=0), problem.loss(), {}, torch.Generator().manual_seed(0)
        )
        self.optimizer.step(self.inputs, self.targets)

    def time_step(self, optimizer: str, parameters: int) -> None:
        self.optimizer.step(self.inputs, self.targets)
