"""The power of `tngd-bench check`: checks of copies of this tree with a known difference, or none.

    python -m benchmarks.check_power                     all of it: 200 + 100 + 100 checks, an hour or two
    python -m benchmarks.check_power --equal 20 --slowed 10 --product 10 --output build/power.jsonl

    equal     two equal copies: anything flagged is a false alarm                            bar: ≤ 1 % flagged
    slowed    one optimizer's step takes 15 % longer, by waiting 15 % of its own time        bar: ≥ 95 % flagged
    product   one optimizer's step makes one product with the GGN more; no times are taken   bar: all flagged

Each check is the one of the command line, with new processes. Optimizers take turns. Results are appended to the
output, a check a line, and a run goes on where an earlier one stopped.
"""

import json
import os
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.runs import command_line
from tngd_bench.check.gate import MetricFilter, check_revision
from tngd_bench.check.metrics import TIME
from tngd_bench.check.trees import present_tree
from tngd_bench.optimizers import registry

SLOWDOWN = 0.15
KINDS = ("equal", "slowed", "product")

_PATCH = """

_create = OptimizerEntry.create


def _create_changed(self, *arguments, **settings):
    import time

    import torch

    from tngd_bench.curvature import GGN

    optimizer = _create(self, *arguments, **settings)
    if self.name == {name!r}:
        step = optimizer.step
{change}
        optimizer.step = changed
    return optimizer


OptimizerEntry.create = _create_changed
"""
_SLOWED = """
        def changed(inputs, targets):
            start = time.perf_counter()
            value = step(inputs, targets)
            end = time.perf_counter()
            until = end + {slowdown} * (end - start)
            while time.perf_counter() < until:
                pass
            return value
"""
_PRODUCT = """
        def changed(inputs, targets):
            make = GGN.__init__

            def with_product(ggn, *given, **named):
                make(ggn, *given, **named)
                ggn.matvec(torch.ones(ggn.size))

            GGN.__init__ = with_product
            try:
                return step(inputs, targets)
            finally:
                GGN.__init__ = make
"""


def copied(folder: Path, patch: str = "") -> Path:
    """Copy the package into `folder`, `patch` appended to its registry of optimizers; return `folder`."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(present_tree() / "tngd_bench", folder / "tngd_bench", ignore=ignored)
    with (folder / "tngd_bench" / "optimizers" / "registry.py").open("a", encoding="utf-8") as file:
        file.write(patch)
    return folder


def injected(kind: str, name: str) -> str:
    """Return the patch for a check of `kind` with the difference in optimizer `name`."""
    changes = {"slowed": _SLOWED.format(slowdown=SLOWDOWN), "product": _PRODUCT}
    return _PATCH.format(name=name, change=changes[kind]) if kind in changes else ""


def one_check(kind: str, number: int, base: Path, place: Path) -> dict[str, object]:
    """Make check `number` of `kind` against the copy `base`; say what was injected, flagged and inconclusive."""
    without = ("first-order", "kfac") if kind == "product" else ()  # families that make no product
    names = [name for name in registry.names() if registry.get(name).family not in without]
    name = names[number % len(names)]
    start = time.time()
    head = copied(place, injected(kind, name))
    judged = check_revision(base, head, MetricFilter(times=kind != "product"), lambda text: None)
    flagged = [one.name for one in judged if one.verdict == "regression"]
    wanted = {"equal": None, "slowed": f"{TIME}/{name}", "product": f"operations/{name}"}[kind]
    return {
        "kind": kind,
        "injected": wanted,
        "found": wanted in flagged,
        "flagged": flagged,
        "failed": [f"{one.name}: {one.reason}" for one in judged if one.verdict == "failed"],
        "inconclusive": [one.name for one in judged if one.verdict == "inconclusive"],
        "changes": {one.name: round(one.change, 4) for one in judged if one.kind == "time"},
        "seconds": round(time.time() - start, 1),
        "load": os.getloadavg()[0],
    }


def summary(results: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line per kind: checks, how many flagged, false alarms beside what was injected, seconds and load."""
    for kind in KINDS:
        of_kind = [result for result in results if result["kind"] == kind]
        if not of_kind:
            continue
        flagged = ((name, result["injected"]) for result in of_kind for name in result["flagged"])
        alarms = Counter(name for name, injected in flagged if name != injected)
        hits = sum(bool(result["flagged"] if kind == "equal" else result["found"]) for result in of_kind)
        unsure = sum(bool(result["inconclusive"]) for result in of_kind)
        seconds = statistics.median(result["seconds"] for result in of_kind)
        load = [result["load"] for result in of_kind]
        what = "flagged" if kind == "equal" else "found"
        yield (
            f"{kind:8} {len(of_kind):4} checks, {hits:4} {what}, {sum(alarms.values())} false alarms {dict(alarms)},"
            f" {unsure} with something inconclusive; median {seconds:.0f} s a check,"
            f" load {min(load):.1f} to {max(load):.1f}"
        )


def main() -> None:
    """Run what is missing, in turns of all kinds, and print the summary."""
    parser = command_line(__doc__)
    for kind, count in zip(KINDS, (200, 100, 100), strict=True):
        parser.add_argument(f"--{kind}", type=int, default=count, help=f"checks (default {count})")
    parser.add_argument("--output", type=Path, default=Path("build/check_power.jsonl"))
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    lines = options.output.read_text().splitlines() if options.output.exists() else []
    results = [json.loads(line) for line in lines]
    with tempfile.TemporaryDirectory(prefix="tngd-bench-power-") as folder:
        base = copied(Path(folder) / "base")
        while True:
            done = Counter(str(result["kind"]) for result in results)
            wanted = {kind: getattr(options, kind) for kind in KINDS}
            left = [kind for kind in KINDS if done[kind] < wanted[kind]]
            if not left:
                break
            # the kind least far from its end, so that a run broken off says something of each
            kind = min(left, key=lambda kind: done[kind] / wanted[kind])
            place = Path(folder) / "head"
            results.append(one_check(kind, done[kind], base, place))
            shutil.rmtree(place)
            with options.output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(results[-1]) + "\n")
    print("\n".join(summary(results)))


if __name__ == "__main__":
    main()
