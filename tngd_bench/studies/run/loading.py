"""Imported first by the server of worker processes: the collector rests until `preloaded`, which is imported last."""

import gc

gc.disable()
