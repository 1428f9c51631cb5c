"""A device for tngd-bench: a shipped one and the fields that differ.

tngd-bench test mine.py                                  checks it
tngd-bench predict --parameters 1e5 --batch 64 --outputs 10 --device mine --plugin mine.py
A study knows it by plugins = ["mine.py"], and runs on it by optimizers = ["tngd[device=mine]"].
All fields, with their units: docs/device.md. None: an imperfection is absent, a price not stated.
"""

from tngd_bench.spu.device import Device

ENTRY = Device.preset("paper").override(
    name="mine",
    summary="the paper's device with a slower link and fewer bits",
    link_rate_bits_per_s=1e10,
    adc_bits=8,
)
