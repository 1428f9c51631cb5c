import pandas as pd

from tngd_bench.analysis.families import (
    named_tuned,
    optimizer_info,
    optimizer_infos,
    tuned_on,
)


def frame(*rows):
    return pd.DataFrame(rows, columns=["optimizer", "method", "device"])


def test_order_is_the_registry_s_with_variants_together():
    known = optimizer_infos(
        frame(
            ("tngd[delay=1]", "tngd", "paper"),
            ("zeta", "zeta", None),
            ("tngd", "tngd", "paper"),
            ("sgd", "sgd", None),
        )
    )
    assert list(known) == ["sgd", "tngd", "tngd[delay=1]", "zeta"]
    assert known["tngd[delay=1]"].title == "TNGD (t_d = 1 τ)"


def test_only_thermodynamic_time_is_modelled():
    assert optimizer_info("tngd", "tngd").modelled
    assert not optimizer_info("ngd-gram", "ngd-gram").modelled
    assert optimizer_info("kfac", "kfac").second_order
    assert not optimizer_info("adam", "adam").second_order


def test_a_stranger_keeps_its_name_and_is_thermodynamic_only_on_a_device():
    assert optimizer_info("new", "new").family == "not registered"
    assert not optimizer_info("new", "new").second_order
    assert optimizer_info("new", "new", "paper").modelled


def test_tuned_settings_are_called_by_the_problem_that_they_were_found_on():
    study = {"tuning_record": {"search": {"problem": "mnist-cnn"}}}
    assert tuned_on(study) == "mnist-cnn"
    assert tuned_on({"tuning_record": None}) == tuned_on({}) == ""
    several = {"tuned_for": {"digits-mlp": {"tuning_record": {"search": {"problem": "digits-mlp"}}}}}
    assert tuned_on(several, "digits-mlp") == "digits-mlp"
    assert tuned_on(several) == tuned_on(several, "mnist-cnn") == ""
    assert tuned_on(study | {"tuned_for": {}}, "digits-mlp") == "mnist-cnn"  # one search holds everywhere
    known = {
        label: optimizer_info(label, "adam") for label in ("adam", "adam[tuned]", "adam[tuned, eps=1e-6]")
    }
    titles = [tuned.title for tuned in named_tuned(known, "mnist-cnn").values()]
    assert titles == ["Adam", "Adam (tuned on mnist-cnn)", "Adam (tuned on mnist-cnn, ε = 1e-6)"]
