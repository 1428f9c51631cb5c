"""The asv suite: its settings are ones asv knows, and every benchmark runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from asv.config import Config
from asv.util import load_json

from tngd_bench.optimizers import registry

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def settings():
    return load_json(str(ROOT / "asv.conf.json"), js_comments=True)


def test_asv_knows_every_setting(settings):
    # asv takes an unknown key without a word, so that a misspelt one would have no effect.
    assert set(settings) <= {*vars(Config()), "version"}
    assert settings["version"] == Config.api_version


def test_commands_use_the_names_asv_fills_in(settings):
    commands = [*settings["build_command"], *settings["install_command"]]
    filled = {name for command in commands for name in re.findall(r"{(\w+)}", command)}
    assert filled <= {"build_dir", "build_cache_dir", "env_dir", "wheel_file"}
    # Without --no-deps the wheel's dependencies would land in the cache, or float away from the lock.
    assert all("--no-deps" in command for command in commands if "wheel" in command)


def test_every_optimizer_of_ours_is_timed():
    from benchmarks.steps import Step

    assert set(Step.params[0]) == set(registry.names())


def test_enough_samples_to_ever_flag_a_regression():
    from benchmarks.startup import Startup
    from benchmarks.steps import Step

    for suite in (Step, Startup):
        assert suite.repeat[0] * suite.rounds >= 7
        assert suite.version == "1"


@pytest.mark.slow
def test_asv_runs_every_benchmark(settings, tmp_path):
    here = {**settings, "repo": str(ROOT), "benchmark_dir": str(ROOT / "benchmarks")}
    here |= {key: str(tmp_path / key) for key in ("env_dir", "results_dir", "html_dir")}
    config = tmp_path / "asv.conf.json"
    config.write_text(json.dumps(here))
    # asv keeps what it knows of the machine in the home folder; the tester's own stays out of it.
    environment = {**os.environ, "HOME": str(tmp_path)}

    def asv(*arguments):
        command = [sys.executable, "-m", "asv", *arguments, "--config", str(config)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=280, cwd=tmp_path, env=environment
        )

    assert asv("machine", "--yes").returncode == 0
    done = asv("run", "--quick", "--dry-run", "--show-stderr", "-E", f"existing:{sys.executable}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout, done.stdout
    for name in ("steps.Step.time_step", "latency.Latency.track_latency", "startup.Startup.time_help"):
        assert name in done.stdout
