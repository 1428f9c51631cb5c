import subprocess

import torch

from tngd_bench import __version__
from tngd_bench.measure.environment import describe_environment, git_revision
from tngd_bench.resources import available_cores


def test_environment_names_what_a_number_depends_on():
    found = describe_environment()
    assert found["torch"] == str(torch.__version__)
    assert (
        found["packages"]["torch"] == str(torch.__version__).split("+")[0]
        or "+" in found["packages"]["torch"]
    )
    assert found["version"] == __version__
    assert found["threads"] == torch.get_num_threads()
    assert found["memory_bytes"] > 2**28
    assert 1 <= found["cores"] == available_cores()
    assert "C++" in found["torch_build"]


def test_git_revision_is_the_commit_and_tells_of_changes(tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    assert git_revision(tmp_path) is None
    git("init", "-q")
    (tmp_path / "environment.py").write_text("first")
    assert git_revision(tmp_path) is None  # in a repository, but not of it
    git("add", "environment.py")
    git("commit", "-q", "-m", "first")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert git_revision(tmp_path) == head.stdout.strip()
    (tmp_path / "environment.py").write_text("second")
    assert git_revision(tmp_path) == head.stdout.strip() + "+changes"
