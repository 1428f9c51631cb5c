"""Inputs of a plan: the limits of the machine and the sizes of the data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MachineLimits:
    """FLOP/s with each of the study's thread counts, free memory, and the class of the machine.

    Where trials compute on a GPU, the rates are the GPU's, and `gpu_memory_bytes` is what is free on it.
    """

    rate_cost: float
    rate_training: float
    memory_bytes: float
    cpu: str | None = None
    torch: str | None = None
    cores: int = 1  # logical processors for trials side by side
    gpu: str | None = None
    gpu_memory_bytes: float | None = None

    @property
    def working_bytes(self) -> float:
        """The free memory that tensors live in."""
        return self.memory_bytes if self.gpu_memory_bytes is None else self.gpu_memory_bytes

    @property
    def machine_class(self) -> dict[str, str | None]:
        """The class of machine, part of the keys of trials."""
        here = {"cpu": self.cpu, "torch": self.torch}
        return here if self.gpu is None else here | {"gpu": self.gpu}


@dataclass(frozen=True)
class LoadedSize:
    """Sizes of loaded data, in samples, and the checksum."""

    train_size: int
    checksum: str
    test_size: int = 0
