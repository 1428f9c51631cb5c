"""The number of threads torch computes with, set before anything is computed."""

import torch

from tngd_bench import arguments


def use_threads(count: int) -> None:
    """Let torch use `count` threads inside an operation and one between operations.

    Call once per process, before any parallel work: torch refuses to change the second number afterwards.
    """
    arguments.integer("threads", count, minimum=1)
    torch.set_num_threads(count)
    torch.set_num_interop_threads(1)
