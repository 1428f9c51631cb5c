import numpy as np
import pandas as pd
import pytest

from tngd_bench.analysis.cost import fits


def frames(sizes, optimizer="tngd"):
    trials, costs = [], []
    for size in sizes:
        key = f"t#{size}"
        trials.append(
            {"key": key, "kind": "cost", "status": "ok", "optimizer": optimizer, "method": optimizer}
            | {"device": "paper", "parameters": size, "flops": 6.0 * size**2}
        )
        for repetition in range(3):
            row = {
                "key": key,
                "group": "c",
                "problem": "p",
                "batch_size": 1,
                "outputs": 1,
                "parameters": size,
            }
            row |= {"optimizer": optimizer, "method": optimizer, "process": 0, "repetition": repetition}
            row |= {"digital_s": 1e-9 * size, "write_s": 1e-12 * size**3, "relax_s": 0.0, "read_s": 0.0}
            costs.append(row | {"total_s": row["digital_s"] + row["write_s"]})
    return pd.DataFrame(costs), pd.DataFrame(trials)


SIZES = [int(size) for size in np.logspace(2, 5, 6)]


def test_measured_modelled_and_counted_keep_their_own_exponents():
    table = fits.scaling_table(*frames(SIZES)).set_index("quantity")
    assert table.loc[fits.MEASURED, "log_log"] == pytest.approx(1.0, abs=1e-6)
    assert table.loc[fits.MODELLED, "log_log"] == pytest.approx(3.0, abs=1e-6)
    assert table.loc[fits.COUNTED, "log_log"] == pytest.approx(2.0, abs=1e-6)
    assert 1.0 < table.loc[fits.TOTAL, "log_log"] < 3.0
    assert table.loc[fits.MEASURED, ["sizes", "smallest", "largest"]].tolist() == [6, SIZES[0], SIZES[-1]]
    assert table.loc[fits.MEASURED, "paper"] == 1.0


def test_a_digital_optimizer_has_no_modelled_row_and_the_gram_form_no_paper_row():
    table = fits.scaling_table(*frames(SIZES, "ngd-gram"))
    assert set(table["quantity"]) == {fits.MEASURED, fits.COUNTED}
    assert table["paper"].isna().all()


def test_rows_asked_for_alone_are_those_of_the_whole_table():
    parts = [frames(SIZES), frames(SIZES, "ngd-gram")]
    costs, trials = (pd.concat(kept, ignore_index=True) for kept in zip(*parts, strict=True))
    whole = fits.scaling_table(costs, trials)
    asked = fits.scaling_table(costs, trials, quantities=(fits.COUNTED, fits.TOTAL), optimizers=["tngd"])
    expected = whole[(whole["optimizer"] == "tngd") & whole["quantity"].isin([fits.COUNTED, fits.TOTAL])]
    pd.testing.assert_frame_equal(asked, expected.reset_index(drop=True))
    assert len(asked) == 2 < len(whole)


def test_four_sizes_have_local_slopes_and_no_exponent():
    row = fits.scaling_table(*frames(SIZES[:4])).iloc[0]
    assert np.isnan(row["log_log"])
    assert len(row["local_slopes"]) == 3
    assert "4 sizes" in row["note"]


def test_operations_that_were_not_counted_give_no_row():
    costs, trials = frames(SIZES)
    table = fits.scaling_table(costs, trials.assign(flops=np.nan))
    assert fits.COUNTED not in set(table["quantity"])


def along(axis, values):
    """Records of one model at several b or d_z: digital seconds grow as value², peak memory as value."""
    trials, costs = [], []
    for value in values:
        setting = {"parameters": 1000 + value, "batch_size": 8, "outputs": 10, axis: value}
        common = {"key": f"t#{value}", "group": "c", "problem": "p", "optimizer": "ngd-woodbury"}
        common |= {"method": "ngd-woodbury", "device": None, **setting}
        trials.append(
            common
            | {"kind": "cost", "status": "ok", "parameters_requested": 1000, "process": 0}
            | {"flops": float(value), "peak_bytes": 100.0 * value}
        )
        for process in range(2):
            for repetition in range(3):
                times = {"digital_s": 1e-6 * value**2, "write_s": 0.0, "relax_s": 0.0, "read_s": 0.0}
                costs.append(common | {"process": process, "repetition": repetition} | times)
                costs[-1]["total_s"] = times["digital_s"]
    return pd.DataFrame(costs), pd.DataFrame(trials)


@pytest.mark.parametrize("axis", ["batch_size", "outputs"])
def test_costs_are_fitted_along_b_and_d_z_at_one_requested_size(axis):
    table = fits.scaling_table(*along(axis, [10, 20, 40, 80, 160]), axis).set_index("quantity")
    assert table.loc[fits.MEASURED, "log_log"] == pytest.approx(2.0, abs=1e-9)
    assert table.loc[fits.COUNTED, "log_log"] == pytest.approx(1.0, abs=1e-9)
    assert table.loc[fits.MEMORY, "log_log"] == pytest.approx(1.0, abs=1e-9)
    assert table.loc[fits.MEASURED, "paper"] == 3.0
    assert 1.9 < table.loc[fits.MEASURED, "paper_here"] < 3.0
    assert table.loc[fits.MEASURED, ["smallest", "largest"]].tolist() == [10, 160]
    assert len(table.loc[fits.MEASURED, "keys"]) == 5


def test_one_model_size_is_no_range_in_n_and_an_axis_has_a_name():
    assert fits.scaling_table(*along("outputs", [10])).empty
    with pytest.raises(ValueError, match="axis must be one of: parameters, batch_size, outputs"):
        fits.scaling_table(*along("outputs", [10]), "depth")
