"""The asv suite: its settings are ones asv knows, every benchmark runs, and a slower commit is found and named."""

import importlib
import inspect
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from asv.config import Config
from asv.util import interpolate_command, load_json

from benchmarks import core, peers
from tngd_bench.check import probe
from tngd_bench.check.baseline import read_baseline
from tngd_bench.check.metrics import PAGE
from tngd_bench.optimizers import registry
from tngd_bench.studies.file.optimizer_label import resolve

ROOT = Path(__file__).resolve().parents[1]
MODULES = ("accuracy", "latency", "report_time", "resources", "startup", "steps")
SLOWED = """

_direction = NGD._direction


def _thrice(self, inputs, targets):
    if isinstance(self.solver, Gram):
        _direction(self, inputs, targets)
        _direction(self, inputs, targets)
    return _direction(self, inputs, targets)


NGD._direction = _thrice
"""


@pytest.fixture(scope="module")
def settings():
    return load_json(str(ROOT / "asv.conf.json"), js_comments=True)


def suites():
    """All benchmark classes."""
    for module in MODULES:
        loaded = importlib.import_module(f"benchmarks.{module}")
        for _, suite in inspect.getmembers(loaded, inspect.isclass):
            if suite.__module__ == loaded.__name__ and any(
                name.startswith(("time_", "track_")) for name in vars(suite)
            ):
                yield suite


def test_every_peer_can_be_made():
    pytest.importorskip("pytorch_optimizer")
    model, loss, _, _ = core.setting(10_000)
    for label in peers.PEERS:
        config = resolve(label, {})
        registry.get(config.method).create(model, loss, config.settings)


def test_asv_knows_every_setting(settings):
    # asv takes an unknown key without a word, so that a misspelt one would have no effect.
    assert set(settings) <= {*vars(Config()), "version"}
    assert settings["version"] == Config.api_version


def test_a_misspelt_setting_would_be_found(settings):
    assert not {*settings, "regression_thresholds"} <= {*vars(Config()), "version"}


def test_commands_use_the_names_asv_fills_in(settings):
    commands = [*settings["build_command"], *settings["install_command"], *settings["uninstall_command"]]
    filled = {name for command in commands for name in re.findall(r"{(\w+)}", command)}
    assert filled <= {"build_dir", "build_cache_dir", "env_dir", "wheel_file", "project"}
    # dependencies come by the lock of the revision and by nothing else
    (build,) = settings["build_command"]
    assert "--no-deps" in build
    _, wheel = settings["install_command"]
    assert "--no-deps --force-reinstall" in wheel


def test_commands_need_no_program_outside_the_environment(settings):
    # asv looks for them in the environment's own folder and nowhere else
    commands = [*settings["build_command"], *settings["install_command"], *settings["uninstall_command"]]
    places = dict.fromkeys(("build_dir", "build_cache_dir", "env_dir", "wheel_file", "project"), "here")
    assert {interpolate_command(command, places)[0][0] for command in commands} == {"python"}


@pytest.mark.parametrize(
    ("locks", "taken"),
    [
        (["requirements-{}.{}.lock", "requirements.lock"], "requirements-{}.{}.lock"),
        (["requirements.lock"], "requirements.lock"),
    ],
)
def test_a_revision_is_installed_by_its_own_lock(settings, tmp_path, monkeypatch, locks, taken):
    for lock in locks:
        (tmp_path / lock.format(*sys.version_info[:2])).touch()
    places = {"build_dir": str(tmp_path), "env_dir": str(tmp_path), "wheel_file": "a.whl"}
    (_, option, code, *arguments), *_ = interpolate_command(settings["install_command"][0], places)
    assert option == "-c"
    called = []
    monkeypatch.setattr(subprocess, "call", lambda command: called.append(command) or 3)
    monkeypatch.setattr(sys, "argv", ["-c", *arguments])
    with pytest.raises(SystemExit) as ended:
        exec(code, {})  # as `python -c` does
    assert ended.value.code == 3
    ((python, *command),) = called
    lock = str(tmp_path / taken.format(*sys.version_info[:2]))
    assert python == sys.executable
    assert command == ["-m", "pip", "install", "--quiet", "--constraint", lock, "a.whl"]


def test_every_optimizer_of_ours_is_timed():
    from benchmarks.case import OPTIMIZERS

    assert list(registry.names()) == OPTIMIZERS


def test_enough_samples_to_ever_flag_a_regression():
    from benchmarks.report_time import Report
    from benchmarks.startup import Startup
    from benchmarks.steps import REPETITIONS

    assert REPETITIONS >= 7
    for suite in (Report, Startup):
        assert suite.repeat[0] * suite.rounds >= 7


def test_every_benchmark_has_a_version_of_its_own():
    # without one asv makes it of the source, and a new comment starts a new series
    found = list(suites())
    assert len(found) >= 7
    for suite in found:
        assert suite.version in ("1", "2"), suite


def test_reading_what_one_run_found_imports_no_torch():
    code = "import sys, benchmarks.steps, benchmarks.resources, benchmarks.accuracy; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_module_of_the_folder_can_be_imported_without_the_extras():
    # asv imports all of them in an environment that has the package's own dependencies alone
    code = (
        "import sys\n"
        "for name in ('pyperf', 'asv', 'optuna', 'dask', 'transformers', 'peft', 'pytest', 'hypothesis'):\n"
        "    sys.modules[name] = None\n"
        "import importlib, pathlib\n"
        "for path in sorted(pathlib.Path('benchmarks').glob('*.py')):\n"
        "    importlib.import_module(f'benchmarks.{path.stem}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_committed_baseline_is_of_this_suite():
    held = read_baseline(ROOT / "benchmarks" / "baseline.json")
    # times, and the work of a page, are compared with a revision alone
    names = [name for name in probe.names() if not name.startswith(("step time/", f"{PAGE}/"))]
    assert set(held.metrics) == set(names)
    assert all(entry["reason"] for entry in held.history)
    assert "cpu" not in held.environment


@pytest.fixture
def asv(settings, tmp_path):
    """Run asv on the repository given, all its files in a folder of the test's own."""

    def run(repository, *arguments, timeout=900):
        here = {**settings, "repo": str(repository), "benchmark_dir": str(repository / "benchmarks")}
        here |= {key: str(tmp_path / key) for key in ("env_dir", "results_dir", "html_dir")}
        config = tmp_path / "asv.conf.json"
        config.write_text(json.dumps(here))
        # asv keeps what it knows of the machine in the home folder; the tester's own stays out of it.
        environment = {**os.environ, "HOME": str(tmp_path)}
        return subprocess.run(
            [sys.executable, "-m", "asv", *arguments, "--config", str(config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            cwd=tmp_path,
            env=environment,
        )

    assert run(ROOT, "machine", "--yes").returncode == 0
    return run


@pytest.mark.slow(reason="runs every benchmark once")
@pytest.mark.timeout(1200)
def test_asv_runs_every_benchmark(asv):
    done = asv(ROOT, "run", "--quick", "--dry-run", "--show-stderr", "-E", f"existing:{sys.executable}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout, done.stdout
    for suite in suites():
        for name in vars(suite):
            if name.startswith(("time_", "track_")):
                assert (
                    f"{suite.__module__.removeprefix('benchmarks.')}.{suite.__name__}.{name}" in done.stdout
                )


@pytest.mark.slow(reason="makes environments and measures two commits")
@pytest.mark.timeout(2400)
def test_asv_finds_and_names_a_slower_commit(asv, tmp_path):
    """Two commits, environments built by our recipe; then the pages, served."""
    toy = tmp_path / "toy"

    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *arguments], cwd=toy, check=True, capture_output=True)

    toy.mkdir()
    for name in ("tngd_bench", "benchmarks"):
        shutil.copytree(ROOT / name, toy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (
        ROOT / "pyproject.toml",
        ROOT / "README.md",
        ROOT / "LICENSE",
        *ROOT.glob("requirements-*.lock"),
    ):
        shutil.copy(path, toy / path.name)
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-q", "-m", "as it is")
    slowed = toy / "tngd_bench" / "optimizers" / "ngd" / "optimizer.py"
    slowed.write_text(slowed.read_text() + SLOWED)
    git("commit", "-q", "-a", "-m", "slower")
    chosen = "steps.Step.track_step_over_sgd"
    done = asv(toy, "continuous", "HEAD~1", "HEAD", "--bench", chosen, timeout=2000)
    assert done.returncode == 1, done.stdout + done.stderr
    slower = [line for line in done.stdout.splitlines() if line.startswith(("| + ", "+ ")) and chosen in line]
    assert any("ngd-gram" in line for line in slower), done.stdout
    assert "SOME BENCHMARKS HAVE CHANGED SIGNIFICANTLY" in done.stdout
    assert "PERFORMANCE DECREASED" in done.stdout
    compared = asv(toy, "compare", "HEAD~1", "HEAD")
    assert compared.returncode == 0
    assert chosen in compared.stdout
    assert asv(toy, "publish", "--no-pull").returncode == 0
    assert (tmp_path / "html_dir" / "regressions.json").is_file()
    assert b"airspeed velocity" in previewed(tmp_path)


def previewed(folder):
    """Return the page that `asv preview` serves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "asv",
        "preview",
        "--config",
        str(folder / "asv.conf.json"),
        "--port",
        str(port),
    ]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=5) as page:
                    return page.read()
            except OSError:
                time.sleep(0.3)
        raise AssertionError("asv preview did not answer")
    finally:
        server.kill()
        server.wait()
