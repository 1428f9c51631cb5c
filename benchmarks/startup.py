"""Start-up: what a user waits for before anything is computed."""

import subprocess
import sys
from pathlib import Path


class Startup:
    """Seconds from a cold interpreter."""

    version = "1"
    number = 1
    repeat = (4, 8, 3.0)
    rounds = 2

    def setup(self) -> None:
        self.command = str(Path(sys.executable).with_name("tngd-bench"))

    def time_import(self) -> None:
        subprocess.run([sys.executable, "-c", "import tngd_bench"], check=True)

    def time_import_registries(self) -> None:
        code = "import tngd_bench.optimizers.registry, tngd_bench.problems.registry"
        subprocess.run([sys.executable, "-c", code], check=True)

    def time_help(self) -> None:
        subprocess.run([self.command, "--help"], check=True, stdout=subprocess.DEVNULL)
