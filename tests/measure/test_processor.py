"""What computes: asked for by name, refused where it is not there. What a GPU gives is in tests/test_cuda.py."""

import pytest
import torch

from tngd_bench.datasets.splits import DataSplits
from tngd_bench.measure import memory
from tngd_bench.measure.environment import check_processor, machine_class
from tngd_bench.measure.problem_instance import ProblemInstance


def test_the_cpu_is_always_there_and_its_class_names_no_gpu():
    check_processor("cpu")
    assert set(machine_class()) == {"cpu", "torch"}


@pytest.mark.parametrize(
    ("count", "asked", "accepted"),
    [(0, "cuda", "cpu"), (1, "cuda:1", "cpu, cuda, cuda:0"), (2, "cuda:2", "cpu, cuda, cuda:0, cuda:1")],
)
def test_a_gpu_that_torch_does_not_see_is_refused_with_those_it_sees(monkeypatch, count, asked, accepted):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(ValueError, match=rf"^'{asked}' is no processor .*; accepted: {accepted}$"):
        check_processor(asked)


def test_the_second_of_two_is_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_processor("cuda:1")
    assert machine_class_of(monkeypatch, "cuda:1")["gpu"] == "GPU of cuda:1"


def machine_class_of(monkeypatch, processor):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda name: f"GPU of {name}")
    return machine_class(processor)


def test_model_and_loss_go_to_the_processor():
    instance = ProblemInstance("digits-mlp", 1000, 10, 16, "float32", ("test", "seed", 0), processor="meta")
    assert {p.device.type for p in instance.model().parameters()} == {"meta"}
    assert instance.device == torch.device("meta")


def test_all_tensors_of_the_data_move_and_texts_stay():
    ones = torch.ones(3, 2)
    references = {"offsets": ones, "context": ["a", "b", "c"]}
    data = DataSplits({"ids": ones}, ones, ones, ones, "sum", "made", references, None)
    moved = data.to(torch.device("meta"))
    tensors = (
        moved.train_inputs["ids"],
        moved.train_targets,
        moved.test_inputs,
        moved.test_targets,
        moved.train_references["offsets"],
    )
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.train_references["context"] == ["a", "b", "c"]
    assert (moved.test_references, moved.checksum) == (None, "sum")
    assert data.to(torch.device("cpu")).train_targets is ones


def test_a_gpu_s_peak_is_what_its_allocator_saw_beyond_the_start(monkeypatch):
    done = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: done.append("wait"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: done.append("reset"))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 300)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 1000)
    assert memory.measure_gpu_peak(lambda: done.append("work"), torch.device("cuda")).peak_bytes == 700
    assert done == ["wait", "reset", "work", "wait"]
