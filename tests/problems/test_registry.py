import dataclasses
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tngd_bench import plugins
from tngd_bench.problems import digits_mlp, registry


def test_names_in_order():
    assert registry.names() == (
        "digits-mlp",
        "mnist-cnn",
        "mnist-mlp",
        "mnist-mlp3",
        "fashion-cnn",
        "squad-lora",
        "causal-lm",
        "poisson-pinn",
    )


def test_a_misspelt_name_is_answered_with_a_suggestion():
    with pytest.raises(ValueError, match=r"'mnist-ccn'; did you mean 'mnist-cnn'\?"):
        registry.get("mnist-ccn")


def test_entries_say_what_they_are():
    for name in registry.names():
        entry = registry.get(name)
        assert entry.name == name
        assert entry.outputs >= entry.classes >= 2
        assert entry.title
        assert entry.summary
        assert entry.data_source


def test_widths_need_neither_torch_nor_numpy():
    code = (
        "import sys; from tngd_bench.problems import registry;"
        "sizes = {'squad-lora': 37_634};"
        "[registry.get(name).widths(sizes.get(name, 10**5)) for name in registry.names()];"
        "sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'pandas', 'sklearn', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def outside(monkeypatch):
    """Let the registry find one entry of an outside package."""

    def let(entry):
        point = SimpleNamespace(name="x", value="package:ENTRY", load=lambda: entry)
        monkeypatch.setattr(registry, "entry_points", lambda group: [point])
        registry._found.cache_clear()

    yield let
    registry._found.cache_clear()


def test_outside_packages_add_a_problem(outside):
    entry = replace(digits_mlp.ENTRY, name="digits-other")
    outside(entry)
    assert registry.names()[-1] == "digits-other"
    assert registry.get("digits-other") is entry


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (digits_mlp.ENTRY, "registers the problem 'digits-mlp' again"),
        ("digits", "'package:ENTRY' of package must load to a ProblemEntry, not 'digits'"),
        (replace(digits_mlp.ENTRY, name=7), "cannot be used: name must be text, not 7"),
        (replace(digits_mlp.ENTRY, name="a", summary=None), "summary must be text, not None"),
        (replace(digits_mlp.ENTRY, name="a", search=None), "search must be a function, not None"),
        (replace(digits_mlp.ENTRY, name="a", classes="ten"), "classes must be an integer >= 1, not 'ten'"),
        (replace(digits_mlp.ENTRY, name="a", default_outputs=9), "default_outputs must be an integer >= 10"),
    ],
)
def test_a_bad_entry_point_is_left_out_and_named(monkeypatch, outside, entry, message):
    known = registry.names()
    outside(entry)
    monkeypatch.setattr(plugins, "_COMPLAINTS", {})
    assert registry.names() == known
    assert message in plugins.complaints()[0]
    with pytest.raises(ValueError, match=r"problem must be one of: .*'x'.*entry point x"):
        registry.get("x")


def test_the_number_of_parameters_that_a_problem_states_is_checked_against_its_model():
    from torch import nn

    widths = digits_mlp.ENTRY.widths(1000)
    larger = dataclasses.replace(
        digits_mlp.ENTRY, build=lambda widths: nn.Sequential(digits_mlp.ENTRY.build(widths), nn.Linear(10, 1))
    )
    with pytest.raises(ValueError, match=r"digits-mlp: its widths say 989 parameters, .* trains 1,000"):
        larger.model(widths, seed=0)


def test_a_search_that_fails_is_an_error_of_its_problem():
    def search(outputs, parameters):
        raise RuntimeError("no such\nwidth")

    entry = replace(digits_mlp.ENTRY, name="other", search=search)
    with pytest.raises(
        ValueError, match=r"other, 10 outputs: its search .* fails \(RuntimeError: no such width\)"
    ):
        entry.widths(1000)
