"""Every verb ends in order when it is asked to; an interrupted one says how to go on, by options that it has."""

import os
import signal
from types import SimpleNamespace

import click
import pytest

import tngd_bench.studies
from tngd_bench.cli import main as command_line
from tngd_bench.cli.progress import PlainAudience
from tngd_bench.cli.signals import resumable
from tngd_bench.process_state import ENDING_SIGNALS
from tngd_bench.studies.store import records


@pytest.mark.parametrize("number", ENDING_SIGNALS)
def test_every_verb_ends_in_order_and_leaves_the_signals_as_they_were(monkeypatch, capsys, number):
    steps = []

    @click.command()
    def verb():
        try:
            os.kill(os.getpid(), number)
            steps.append("went on")
        finally:
            steps.append("tidied up")

    monkeypatch.setattr(command_line, "import_module", lambda name: SimpleNamespace(command=verb))
    before = [signal.getsignal(each) for each in ENDING_SIGNALS]
    assert command_line.run(["report"]) == 2
    assert steps == ["tidied up"]
    assert capsys.readouterr().err.split("\n")[-2:] == ["tngd-bench: error: interrupted", ""]
    assert [signal.getsignal(each) for each in ENDING_SIGNALS] == before


def test_a_run_interrupted_while_its_page_is_made_says_that_its_trials_are_kept(
    monkeypatch, capsys, tmp_path
):
    def run(place, audience, **options):
        audience.total = audience.done = 3
        return SimpleNamespace(ignored={})

    def interrupted(place):
        raise KeyboardInterrupt

    study = SimpleNamespace(load_workers=lambda: None, run=run)
    monkeypatch.setattr(tngd_bench.studies.Study, "read", lambda *asked: study)
    monkeypatch.setattr(records, "read_records", interrupted)
    assert command_line.run(["run", "smoke", "--output", str(tmp_path), "--fresh"]) == 2
    said = capsys.readouterr().err
    assert "interrupted: 3 of 3 trials are kept" in said
    assert "the same command without --fresh to go on" in said


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
