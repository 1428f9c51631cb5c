"""Calls of git about a folder, whatever repository the calling process was told to use."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

TIMEOUT_S = 120.0
_OF_A_REPOSITORY = (
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIR", "GIT_GRAFT_FILE", "GIT_INDEX_FILE"),
    *("GIT_IMPLICIT_WORK_TREE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_NAMESPACE", "GIT_OBJECT_DIRECTORY"),
    *("GIT_PREFIX", "GIT_QUARANTINE_PATH", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE"),
)
"""Variables that name one repository: of `git rev-parse --local-env-vars`, all that hold no settings of the user."""


class GitError(LookupError):
    """Git is missing, refuses the repository, or has no such revision."""


def clean_environment() -> dict[str, str]:
    """Return the environment without what names a repository.

    Git sets GIT_DIR, GIT_INDEX_FILE and more for a hook: a command about another folder, or one that writes an index,
    would then work on the user's own repository and index.
    """
    return {name: value for name, value in os.environ.items() if name not in _OF_A_REPOSITORY}


def run_git(
    folder: Path, *arguments: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run git in `folder`; the result has its exit code and what it said. GitError where there is no git."""
    try:
        return subprocess.run(  # noqa: S603  # no shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607  # whichever git the user has
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=TIMEOUT_S,
            env={**clean_environment(), "LC_ALL": "C", **(variables or {})},
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


UNSHALLOW = "`git fetch --unshallow` fetches the history"
"""What to do about a shallow clone."""


def resolve(top: Path, revision: str) -> str:
    """Return the commit that `revision` names; GitError where there is none."""
    named = run_git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if named.returncode or not revision.strip():
        raise GitError(f"{top} has no revision {revision!r}{_shallow_hint(top)}")
    return named.stdout.strip()


def is_shallow(folder: Path) -> bool:
    """Return whether the repository of `folder` has the newest commits alone."""
    return run_git(folder, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"


def _shallow_hint(top: Path) -> str:
    return (
        f"; it is a shallow clone, which has the newest commits alone: {UNSHALLOW}" if is_shallow(top) else ""
    )


def extract(top: Path, commit: str, place: Path) -> None:
    """Write the files of a commit into the folder `place`.

    By an index of its own beside `place`, not a worktree: nothing is registered in the repository, the user's index is
    not touched and no hook runs, so an end at any moment leaves at most a temporary folder. All files come, also those
    that an archive leaves out (export-ignore).
    """
    place.mkdir(parents=True)
    index = {"GIT_INDEX_FILE": str(place.with_suffix(".index").resolve())}
    for arguments in (("read-tree", commit), ("checkout-index", "--all", f"--prefix={place.resolve()}/")):
        made = run_git(top, "-c", "core.sparseCheckout=false", *arguments, variables=index)
        if made.returncode:
            raise GitError(f"{commit} cannot be checked out: {' '.join(made.stderr.split())}")


def merge_base(folder: Path, first: str, second: str) -> str | None:
    """Return the newest commit that two revisions both descend from; None where there is none, or git does not know."""
    found = run_git(folder, "merge-base", first, second)
    return found.stdout.split()[0] if found.returncode == 0 else None
