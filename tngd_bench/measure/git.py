"""Calls of git about a folder, whatever repository the calling process was told to use."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

TIMEOUT_S = 120.0
_LOCAL = "GIT_"
_KEPT = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH", "GIT_SSL_CAINFO")
"""Settings of the user that name no repository."""


class GitError(LookupError):
    """Git is missing, refuses the repository, or has no such revision."""


def clean_environment() -> dict[str, str]:
    """Return the environment without what names a repository.

    Git sets GIT_DIR, GIT_INDEX_FILE and more for a hook: a command about another folder, or one that writes an index,
    would then work on the user's own repository and index.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith(_LOCAL) or name in _KEPT}


def run_git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in `folder`; the result has its exit code and what it said. GitError where there is no git."""
    try:
        return subprocess.run(  # noqa: S603  # no shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607  # whichever git the user has
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=TIMEOUT_S,
            env={**clean_environment(), "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise GitError("git is not installed") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(f"git cannot be run: {error}") from None


def repository_of(tree: Path) -> Path:
    """Return the top folder of the repository that tracks the package in `tree`.

    GitError where the tree is in no repository, in one that does not track the package (an installed package inside
    another project), or in one that git refuses to read.
    """
    found = run_git(tree, "rev-parse", "--show-toplevel")
    if found.returncode:
        said = " ".join(found.stderr.split())
        if "dubious ownership" in said or "safe.directory" in said:
            raise GitError(
                f"git refuses to read {tree}, which belongs to another user;"
                f" `git config --global --add safe.directory {tree}` allows it"
            )
        raise GitError(f"{tree} is not a git repository")
    return Path(found.stdout.strip())


def resolve(top: Path, revision: str) -> str:
    """Return the commit that `revision` names; GitError where there is none."""
    named = run_git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if named.returncode or not revision.strip():
        raise GitError(f"{top} has no revision {revision!r}")
    return named.stdout.strip()


def extract(top: Path, commit: str, place: Path) -> None:
    """Write the files of a commit into the folder `place`.

    By an archive, not a worktree: nothing is registered in the repository, no index is written and no hook runs, so
    an end at any moment leaves at most a temporary folder.
    """
    archive = place.with_suffix(".tar")
    made = run_git(top, "archive", "--format=tar", f"--output={archive}", commit)
    if made.returncode:
        raise GitError(f"{commit} cannot be checked out: {' '.join(made.stderr.split())}")
    place.mkdir(parents=True)
    with tarfile.open(archive) as file:
        file.extractall(place, filter="data")
    archive.unlink()
