"""The machine and software that a measurement was made with."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tngd_bench import __version__
from tngd_bench.measure.git import GitError, run_git
from tngd_bench.resources import available_cores, total_memory_bytes
from tngd_bench.source import own_parts

PACKAGES = (
    *("tngd-bench", "torch", "numpy", "scipy", "pandas", "pyarrow", "scikit-learn"),
    *("matplotlib", "seaborn", "pytorch_optimizer"),
)
MACHINE_FIELDS = ("cpu", "torch", "gpu")
"""Fields that must agree for times to be comparable, beside threads and dtype, which trials name themselves.

"gpu" is there only where a study computes on one.
"""


def machine_class(processor: str = "cpu") -> dict[str, str | None]:
    """Return the class of machine that times measured on `processor` are comparable within: `MACHINE_FIELDS`."""
    import torch

    here = {"cpu": processor_name(), "torch": str(torch.__version__)}
    return here if processor == "cpu" else here | {"gpu": torch.cuda.get_device_name(processor)}


def has_gpu() -> bool:
    """Return whether torch sees a GPU that speaks CUDA."""
    import torch

    return torch.cuda.is_available()


def check_processor(processor: str) -> None:
    """Raise ValueError where torch has no such `processor` ("cpu", "cuda", "cuda:1")."""
    import torch

    if processor == "cpu":
        return
    count = torch.cuda.device_count()
    if (torch.device(processor).index or 0) >= count:
        why = "" if torch.version.cuda else f" (torch {torch.__version__} is built without CUDA)"
        seen = ", ".join(["cpu", *(["cuda"] if count else []), *(f"cuda:{k}" for k in range(count))])
        raise ValueError(f"{processor!r} is no processor that torch sees here{why}; accepted: {seen}")


def describe_environment(processor: str = "cpu") -> dict[str, object]:
    """Return processor, memory, python, torch build and its linear algebra library, threads, packages and revision.

    Plain values, ready for JSON; with a GPU as `processor` its name and memory and the CUDA version too. What cannot
    be found out is None.
    """
    import torch
    from threadpoolctl import threadpool_info

    named = ("internal_api", "version", "threading_layer")
    pools = [
        " ".join(str(pool[key]) for key in named if pool.get(key) is not None) for pool in threadpool_info()
    ]
    return {
        "cpu": processor_name(),
        "cores": available_cores(),
        "affinity": _affinity(),
        "memory_bytes": total_memory_bytes(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torch_build": _torch_build(torch.__config__.show()),
        "blas": torch_blas(torch.__config__.show()),
        "thread_pools": ", ".join(sorted(set(pools))) or None,
        "threads": torch.get_num_threads(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git_revision": git_revision(Path(__file__).parent),
        "version": __version__,
        "code": dict(own_parts()),
        **({} if processor == "cpu" else _gpu(processor)),
    }


def _gpu(processor: str) -> dict[str, object]:
    import torch

    found = torch.cuda.get_device_properties(processor)
    return {
        "gpu": found.name,
        "gpu_memory_bytes": found.total_memory,
        "gpu_capability": f"{found.major}.{found.minor}",
        "cuda": torch.version.cuda,
    }


def free_gpu_memory(processor: str) -> float:
    """Return the bytes that are free on a GPU."""
    import torch

    return float(torch.cuda.mem_get_info(processor)[0])


def _affinity() -> str | None:
    """Return the logical processors this process may use, e.g. "0,1"."""
    affinity = getattr(os, "sched_getaffinity", None)
    return ",".join(map(str, sorted(affinity(0)))) if affinity is not None else None


def processor_name() -> str | None:
    """Return the processor's model name."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or None


def git_revision(directory: Path) -> str | None:
    """Return the commit that `directory` is checked out from, with "+changes" when its files differ; else None.

    None too where git is absent, or where the directory lies in a repository that does not track it.
    """
    try:
        if run_git(directory, "ls-files", "--error-unmatch", "--", "environment.py").returncode:
            return None
        commit = run_git(directory, "rev-parse", "HEAD")
        status = ("--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
        changed = "+changes" if run_git(directory, *status).stdout.strip() else ""
    except GitError:
        return None
    return None if commit.returncode else commit.stdout.strip() + changed


def torch_blas(configuration: str) -> str | None:
    """Return the linear algebra library that torch was built with, from what it says of its build.

    It may be linked statically, where no list of a process's libraries names it: those found there belong to numpy and
    scipy.
    """
    named = re.search(r"BLAS_INFO=(\w+)", configuration)
    version = re.search(r"Math Kernel Library Version ([\d.]+)", configuration)
    if version and (named is None or named[1].lower() == "mkl"):
        return f"mkl {version[1]}"
    return named[1] if named else None


def _torch_build(configuration: str) -> str:
    """Return the libraries and instruction set that torch was built with, one line."""
    wanted = ("C++", "MKL", "oneDNN", "Math Kernel", "Intel(R)", "OpenMP", "CPU capability", "CUDA")
    lines = [line.strip(" -") for line in configuration.splitlines()]
    kept = [line for line in lines if line.startswith(wanted) and "flags" not in line.lower()]
    return "; ".join(kept)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
