"""The number of threads that libraries compute with, set before anything is computed."""

import torch
from threadpoolctl import threadpool_limits

from tngd_bench import arguments


def use_threads(count: int) -> None:
    """Let torch, BLAS and OpenMP use `count` threads inside an operation, and torch one between operations.

    Call once per process, before any parallel work: torch refuses to change the second number afterwards.
    """
    arguments.integer("threads", count, minimum=1)
    threadpool_limits(limits=count)
    torch.set_num_threads(count)
    torch.set_num_interop_threads(1)
