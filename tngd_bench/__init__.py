"""Benchmark of thermodynamic natural gradient descent (TNGD) against digital optimizers.

The four lower floors (`curvature`, `spu`, `solvers`, `optimizers`) are a library of their own: torch in, torch
out. Nothing heavy is imported here, so that `import tngd_bench` and `tngd-bench --help` stay quick.
"""

from tngd_bench.moved import install
from tngd_bench.start import guard_command_line

__version__ = "0.2.0"

guard_command_line()
install()
