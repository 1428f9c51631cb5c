"""A validation part taken from the training data, for choosing settings without a look at the test data."""

import dataclasses

from tngd_bench.datasets.splits import DataSplits


def hold_out(data: DataSplits, share: float) -> DataSplits:
    """Return `data` with the last `share` of the training samples in the place of the test part.

    The test data are dropped. At least one sample lands on either side; ValueError where there are fewer than two,
    or for a share outside (0, 1).
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"validation_share must be a number > 0 and < 1, not {share!r}")
    size = len(data.train_targets)
    if size < 2:
        raise ValueError(f"a validation part needs at least 2 training samples, not {size}")
    kept = size - min(max(1, round(share * size)), size - 1)
    train, held = data.train(kept), data.train().cut(slice(kept, None))
    return dataclasses.replace(
        data,
        train_inputs=train.inputs,
        train_targets=train.targets,
        train_references=train.references,
        test_inputs=held.inputs,
        test_targets=held.targets,
        test_references=held.references,
    )
