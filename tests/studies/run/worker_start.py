"""What a worker tells of its start; it imports next to nothing, for the process that asks."""

import gc
import sys


def tell_start(connection):
    """Send how a worker begins: objects kept from the collector, whether that is on, registries read, pandas loaded."""
    loaded = "pandas" in sys.modules
    from tngd_bench.optimizers import registry as optimizers
    from tngd_bench.problems import registry as problems

    found = [each._found.cache_info().currsize for each in (problems, optimizers)]
    connection.send(("done", (gc.get_freeze_count(), gc.isenabled(), found, loaded)))
