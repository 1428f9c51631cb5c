import itertools
from dataclasses import replace

import pytest
import torch

from tngd_bench.optimizers import registry


def first_batches(instance, data, count):
    return list(itertools.islice(instance.batches(data), count))


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def test_start_and_batches_are_the_same_for_all_optimizers(instance, digits, config):
    starts, batches = [], []
    for name in registry.names():
        model = instance.model()
        instance.optimizer(config(name), model)
        starts.append(flat(model))
        batches.append(first_batches(instance, digits, 3))
    for start, seen in zip(starts, batches, strict=True):
        assert torch.equal(start, starts[0])
        for (x, y), (x0, y0) in zip(seen, batches[0], strict=True):
            assert torch.equal(x, x0)
            assert torch.equal(y, y0)


def test_another_repetition_has_another_start_and_other_batches(instance, digits):
    other = replace(instance, seed_parts=("test", "seed", 1))
    assert not torch.equal(flat(instance.model()), flat(other.model()))
    assert not torch.equal(first_batches(instance, digits, 1)[0][0], first_batches(other, digits, 1)[0][0])


def test_an_epoch_visits_samples_at_most_once_in_complete_batches(instance, digits):
    per_epoch = len(digits.train_targets) // instance.batch_size
    epoch = first_batches(instance, digits, per_epoch)
    assert all(len(y) == instance.batch_size for _, y in epoch)
    everything = torch.cat([x for x, _ in epoch])
    assert len(torch.unique(everything, dim=0)) == len(torch.unique(digits.train_inputs, dim=0)) - (
        len(digits.train_targets) - per_epoch * instance.batch_size
    )


def test_epochs_differ_in_order(instance, digits):
    per_epoch = len(digits.train_targets) // instance.batch_size
    both = first_batches(instance, digits, 2 * per_epoch)
    assert not torch.equal(both[0][0], both[per_epoch][0])


def test_global_random_state_has_no_influence(instance, digits):
    torch.manual_seed(1)
    first = (flat(instance.model()), first_batches(instance, digits, 1)[0][0])
    torch.manual_seed(2)
    second = (flat(instance.model()), first_batches(instance, digits, 1)[0][0])
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_dtype_reaches_the_model(instance):
    assert next(replace(instance, dtype="float64").model().parameters()).dtype == torch.float64


def test_a_batch_larger_than_the_data_is_refused(instance, digits):
    with pytest.raises(ValueError, match=r"batch_size must be <= 200.*not 201"):
        next(replace(instance, batch_size=201).batches(digits))
