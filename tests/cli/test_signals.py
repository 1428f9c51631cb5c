"""An interrupted verb says how to go on, by options that it has."""

import click
import pytest

from tngd_bench.cli.progress import PlainAudience
from tngd_bench.cli.signals import resumable


@pytest.mark.parametrize("params", [{}, {"fresh": False}, {"fresh": True}])
def test_only_an_option_that_was_given_is_to_be_left_out(params, tmp_path):
    context = click.Context(click.Command("verb"))
    context.params = params
    audience = PlainAudience(lambda text: None)
    audience.total, audience.done = 4, 1
    with context, pytest.raises(click.Abort) as caught, resumable(audience, tmp_path):
        raise KeyboardInterrupt
    again = "run the same command without --fresh" if params.get("fresh") else "run the same command"
    assert str(caught.value) == f"interrupted: 1 of 4 trials are kept in {tmp_path}; {again} to go on"
