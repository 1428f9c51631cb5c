"""Two trees measured in turn: which tree answers, what it says when it cannot, and worktrees of a revision."""

import os
import signal
import subprocess
import sys
import time

import pytest

from benchmarks.check_power import copied
from tngd_bench.check.trees import (
    Probe,
    ProbeError,
    UnmeasuredError,
    checked_out,
    exact_figures,
    present_tree,
    time_in_turn,
)


def git(folder, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )


def test_a_probe_answers_for_its_tree_and_says_what_it_cannot(tmp_path):
    tree = copied(tmp_path / "other tree")
    with (tree / "tngd_bench" / "spu" / "__init__.py").open("a") as file:
        file.write("\nprint('a print in the measured code disturbs nobody')\n")
    with Probe(tree) as probe:
        probe.greet()
        names = probe.ask(do="names")
        assert "operations/ngd-gram" in names
        figures = exact_figures(probe, ["forward passes/ngd-gram", "forward passes/nobody"])
        assert figures.values == {"forward passes/ngd-gram": 1.0}
        assert "nobody" in figures.failures["forward passes/nobody"]
        with pytest.raises(UnmeasuredError, match="no request"):
            probe.ask(do="nothing")


def test_a_tree_that_does_not_start_is_told_with_its_last_words(tmp_path):
    (tmp_path / "tngd_bench").mkdir()
    (tmp_path / "tngd_bench" / "__init__.py").write_text("raise RuntimeError('no such luck')\n")
    with Probe(tmp_path) as probe, pytest.raises(ProbeError, match="no such luck"):
        probe.greet()


@pytest.mark.slow(reason="times steps of two trees in turn")
def test_what_one_tree_cannot_time_is_timed_in_none(tmp_path):
    first, second = time_in_turn((present_tree(),) * 2, ["step time/sgd", "step time/nobody"], samples=2)
    for side in (first, second):
        assert list(side.values) == ["step time/sgd"]
        assert len(side.values["step time/sgd"]) == 2
        assert all(ratio > 0 for ratio in side.values["step time/sgd"])
    assert "nobody" in (first.failures | second.failures)["step time/nobody"]


def test_a_revision_is_checked_out_and_removed(tmp_path):
    repository = tmp_path / "repository"
    package = repository / "part"
    package.mkdir(parents=True)
    git(repository, "init", "-q")
    (package / "file").write_text("first")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "first")
    (package / "file").write_text("second")
    git(repository, "commit", "-q", "-a", "-m", "second")
    (repository / ".gitattributes").write_text("hidden export-ignore\n")
    (repository / ".git" / "hooks" / "post-checkout").write_text("#!/bin/sh\nexit 1\n")
    (repository / ".git" / "hooks" / "post-checkout").chmod(0o755)
    index = (repository / ".git" / "index").read_bytes()
    with checked_out("HEAD~1", package) as found:
        assert found.commit == git(repository, "rev-parse", "HEAD~1").stdout.strip()
        assert (found.tree / "file").read_text() == "first"
    assert not found.tree.exists()
    assert (repository / ".git" / "index").read_bytes() == index
    assert len(git(repository, "worktree", "list").stdout.splitlines()) == 1
    assert (package / "file").read_text() == "second"
    with pytest.raises(LookupError, match="no revision 'nowhere'"), checked_out("nowhere", package):
        pass
    with pytest.raises(LookupError, match="no revision '--help'"), checked_out("--help", package):
        pass
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth", "1", repository.as_uri(), str(clone))
    with (
        pytest.raises(LookupError, match=r"shallow clone.*--unshallow"),
        checked_out("HEAD~1", clone / "part"),
    ):
        pass
    outside = tmp_path / "outside"
    outside.mkdir()
    with pytest.raises(LookupError, match="not a git repository"), checked_out("HEAD", outside):
        pass


def test_a_repository_of_another_user_is_refused_in_one_sentence_that_says_what_helps(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    with pytest.raises(LookupError) as caught, checked_out("HEAD", tmp_path):
        pass
    assert str(caught.value) == (
        f"git refuses to read {tmp_path}, which belongs to another user; "
        f"`git config --global --add safe.directory {tmp_path}` allows it"
    )


@pytest.mark.slow(reason="copies the repository and starts a gate")
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_check_ended_while_it_measures_leaves_nothing_behind(tmp_path, ending):
    repository = copied(tmp_path / "r")
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "one")):
        git(repository, *arguments)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = "from tngd_bench.cli.main import main; main(['check', '--baseline', 'HEAD'])"
    environment = {**os.environ, "PYTHONPATH": str(repository), "TMPDIR": str(temporary)}
    check = subprocess.Popen(
        [sys.executable, "-P", "-c", command],
        cwd=repository,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert check.stderr is not None
    assert "in turn" in check.stderr.readline()  # both trees are there, and their processes have started
    time.sleep(2.0)
    measuring = [line for line in _commands() if "probe.py" in line and str(repository) in line]
    check.send_signal(ending)
    assert check.wait(30) == 2
    assert not list(temporary.glob("tngd-bench-*"))
    assert len(git(repository, "worktree", "list").stdout.splitlines()) == 1
    assert measuring
    assert not [line for line in _commands() if "probe.py" in line and str(repository) in line]


def _commands():
    found = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True)
    return found.stdout.splitlines()
