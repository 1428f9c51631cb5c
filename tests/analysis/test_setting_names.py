import dataclasses

import pytest

from tngd_bench.analysis.quantities import items
from tngd_bench.analysis.setting_names import names, parameter_name, value_text
from tngd_bench.optimizers import registry
from tngd_bench.spu.billing import Workload, energy, latency
from tngd_bench.spu.description import DEVICE_FIELDS
from tngd_bench.spu.device import Device
from tngd_bench.spu.ledger import ITEM_NAMES


def test_every_field_of_a_device_and_every_setting_of_ours_has_a_name_in_words_of_its_own():
    keys = {key for name in registry.names() for key in registry.get(name).settings} | set(DEVICE_FIELDS)
    words = [parameter_name(key) for key in keys]
    assert len(set(words)) == len(words) > 50
    assert not [word for word in words if "_" in word]
    assert set(DEVICE_FIELDS) <= set(names())


@pytest.mark.parametrize("bill", [latency, energy])
def test_every_item_that_a_bill_can_have_has_a_name_in_words(bill):
    work = Workload.of(10, 4, 5.0, samples=3, ensemble=2)
    unscaled = dataclasses.replace(work, scale=None)
    narrow = bill(Device(conductance_max_siemens=1e-4), unscaled)
    powers = dict.fromkeys(("amplifier_power_watt", "hold_power_watt", "standby_power_watt"), 1.0)
    whole = Device(partial_sums_per_tau=1.0, calibration_time_s=1.0, **powers)
    carried = bill(whole, Workload.of(10, 4, 5.0))
    assert set(bill(Device(), work).items) | set(narrow.items) | set(carried.items) == set(ITEM_NAMES)
    assert "_" not in items(ITEM_NAMES)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("adc_bits", 8, "8 bits"),
        ("link_rate_bits_per_s", 1e11, "10¹¹ b/s"),
        ("link_energy_j_per_bit", 6.5e-12, "6.5·10⁻¹² J/bit"),
        ("adc_energy_j", 7.4e-12, "7.4·10⁻¹² J"),
        ("cell_write_time_s", 8.5e-6, "8.5·10⁻⁶ s"),
        ("rail_volts", None, "none"),
        ("shared_array", True, "yes"),
        ("upload", "factored", "factored"),
        ("lr", 0.00812873, "0.00812873"),
        ("damping", 0.000112317, "0.000112317"),
        ("lr", 1e-4, "10⁻⁴"),
        ("delay", 0.2, "0.2 τ"),
    ],
)
def test_a_value_has_the_unit_of_its_key(key, value, text):
    assert value_text(key, value) == text


def test_a_setting_of_an_outside_package_is_its_own_name():
    assert parameter_name("my_own_setting") == "my own setting"
