"""The accuracy of `tngd-bench plan`: predicted and real minutes of studies, run now.

    python -m benchmarks.planned quick paper-fig2a:quick my-study.toml
    python -m benchmarks.planned language-cost:quick --set problem.squad-lora.train=train.json

On a quiet machine. Each study is planned without earlier trials, run into an empty folder, and compared as a whole and
by kind of trial. A study that fails is named, and the next one runs. Exit code 1 if one failed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tngd_bench.studies.store.records import read_records

COMMAND = (sys.executable, "-m", "tngd_bench")


def main() -> int:
    """Run the studies and print a line each, then one for each kind of trial."""
    parser = argparse.ArgumentParser(prog="benchmarks.planned", description="Predicted and real duration.")
    parser.add_argument("studies", nargs="+", metavar="STUDY[:PROFILE]")
    parser.add_argument(
        "--set", action="append", default=[], dest="settings", metavar="KEY=VALUE", help="of each"
    )
    given = parser.parse_args()
    settings = [word for setting in given.settings for word in ("--set", setting)]
    failed = 0
    for study in given.studies:
        name, _, profile = study.partition(":")
        try:
            compare([name, *(["--profile", profile] if profile else []), *settings])
        except subprocess.CalledProcessError as error:
            failed = 1
            print(f"{study}: failed, exit code {error.returncode}: {' '.join(error.cmd[2:])}", flush=True)
    return failed


def compare(study: list[str]) -> None:
    """Plan and run one study, and print how long both say that it takes."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "run"
        where = [*study, "--output", str(place)]
        predicted = json.loads(subprocess.check_output([*COMMAND, "plan", *where, "--json"]))
        started = time.monotonic()
        subprocess.run([*COMMAND, "run", *where], check=True, stdout=subprocess.DEVNULL)
        took = time.monotonic() - started
        ratio = predicted["seconds"] / took
        words = f"predicted {predicted['seconds'] / 60:.2f} min, took {took / 60:.2f} min, ratio {ratio:.2f}"
        print(f"{' '.join(study)}: {words}", flush=True)
        trials = read_records(place).trials
        for kind in ("cost", "inspection", "training"):
            groups = [group for group in predicted["groups"] if group["kind"] == kind]
            seconds = sum(group["seconds"] for group in groups)
            own = trials[trials["kind"] == kind]  # an entry of a block has the seconds of the whole block
            elapsed = own.groupby(own["key"].astype(str).str.split("#").str[0])["elapsed_s"].max().sum()
            print(f"  {kind}: predicted {seconds:.1f} s, in trials {elapsed:.1f} s (one after another)")
        timed = f"{len(predicted['timed'])} steps timed for the plan"
        print(f"  report: predicted {predicted['report_seconds']:.1f} s; {timed}")


if __name__ == "__main__":
    sys.exit(main())
