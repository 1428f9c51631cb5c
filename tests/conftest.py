"""What holds for all tests."""

import os

import torch
from hypothesis import settings

# A time limit on an example fails where the machine is busy, and says nothing about the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# Workers of pytest-xdist share the cores: with two threads each, those of one wait for those of the other at every
# small product, which takes ten times as long.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
