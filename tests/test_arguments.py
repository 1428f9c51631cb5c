"""Accepted names in an error: few are all named, of many the nearest, and what prints the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tngd_bench import arguments
from tngd_bench.optimizers import registry

NAMES = st.lists(st.from_regex(r"[a-z]{1,12}", fullmatch=True), unique=True, max_size=60)


@given(NAMES, st.text(max_size=12))
def test_few_are_all_named_and_many_are_counted(names, word):
    told = arguments.accepted(word, names, "list all")
    if len(names) <= arguments.MOST_NAMED:
        assert told == (", ".join(names) or "none")
    else:
        shown, _, rest = told.partition(" and ")
        assert set(shown.split(", ")) <= set(names)
        number = len(names) - len(shown.split(", "))
        assert rest == f"{number} more; `list all` prints all"


def test_the_nearest_comes_first():
    names = [f"setting_{n}" for n in range(70)] + ["damping"]
    assert arguments.accepted("dampin", names).startswith("damping and 70 more")


@given(NAMES.filter(bool), st.data())
def test_a_name_in_capitals_is_answered_with_the_name(names, data):
    name = data.draw(st.sampled_from(names))
    assert arguments.suggestion(name.upper(), names) == f"; did you mean {name!r}?"
    assert arguments.suggestion(name, [each.upper() for each in names]) == f"; did you mean {name.upper()!r}?"


def test_no_optimizer_lists_all_its_settings_in_an_error():
    for name in registry.names():
        with pytest.raises(ValueError, match="no setting 'no_such_setting'") as caught:
            registry.get(name).check({"no_such_setting": 1})
        assert len(str(caught.value)) < 400
