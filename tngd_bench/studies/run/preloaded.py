"""Imported last by the server of worker processes: the registries are read here once, not by each worker again.

But for registries to which outside packages add: these are loaded in the workers.
"""

import gc

from tngd_bench.optimizers import registry as optimizers
from tngd_bench.plugins import entry_points
from tngd_bench.problems import registry as problems
from tngd_bench.spu import device as devices

gc.freeze()  # what is loaded is no garbage: a search of all of it takes 0.2 s
gc.enable()  # see `loading`

_REGISTRIES = (
    (optimizers.ENTRY_POINT_GROUP, optimizers.names),
    (problems.ENTRY_POINT_GROUP, problems.names),
    (devices.ENTRY_POINT_GROUP, devices.Device.presets),
)

for _group, _names in _REGISTRIES:
    if not entry_points(_group):
        _names()
