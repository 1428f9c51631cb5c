"""The command line as a user meets it: in a process of its own."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import click
import pytest

from tngd_bench import __version__
from tngd_bench.cli import main as command_line
from tngd_bench.cli.study_options import command_line as command_line_of
from tngd_bench.cli.warnings import search_as_notes, tell_ignored, warnings_as_notes
from tngd_bench.datasets import finder, mnist
from tngd_bench.datasets.finder import Place
from tngd_bench.optimizers import registry
from tngd_bench.studies.store.reader import OF_NO_TRIAL

HEAVY = {
    "torch",
    "pandas",
    "numpy",
    "matplotlib",
    "seaborn",
    "sklearn",
    "scipy",
    "pyarrow",
    "rich",
    "pydantic",
    "jinja2",
}


def tngd_bench(*arguments, cwd=None, **environment):
    code = "import sys; from tngd_bench.cli.main import main; main(sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def here(capsys):
    """The command line in this process, as `tngd_bench`: most of a new one's time goes into imports."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments):
        code = command_line.run(list(map(str, arguments)))
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, before)


def contents(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["run", "--help"], ["plan", "--help"], ["report", "--help"], ["list", "-h"]],
)
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom tngd_bench.cli.main import main\n"
        f"try:\n    main({arguments!r})\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(found.stderr.split())
    assert found.stdout


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, tngd_bench; print(*{name.partition('.')[0] for name in sys.modules})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not (HEAVY | {"click"}) & set(found.stdout.split())


def test_version():
    found = tngd_bench("--version")
    assert (found.returncode, found.stdout) == (0, f"tngd-bench {__version__}\n")


@pytest.mark.parametrize("verb", [[], ["run"], ["plan"], ["report"], ["list"], ["info"]])
def test_help_has_examples(here, verb):
    found = here(*verb, "--help")
    assert found.returncode == 0
    assert "Example" in found.stdout
    assert "  tngd-bench " + " ".join(verb) in found.stdout


def shown_commands(command, path=("tngd-bench",)):
    """Yield every command with its help as a terminal of 80 columns shows it."""
    context = click.Context(command, info_name=" ".join(path), terminal_width=80, **command.context_settings)
    yield command, command.get_help(context)
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        yield from shown_commands(command.get_command(context, name), (*path, name))


def test_help_cuts_nothing_off_and_says_what_each_option_does():
    from tngd_bench.cli.main import cli

    found = list(shown_commands(cli))
    assert len(found) > 17
    for command, text in found:
        commands = text.partition("\nCommands:\n")[2].partition("\n\n")[0]
        assert [line for line in commands.splitlines() if line.endswith("...")] == []
        prose = [line for line in text.splitlines() if "tngd-bench" not in line]
        assert [line for line in prose if len(line) > 80] == []
        options = [each for each in command.params if isinstance(each, click.Option)]
        assert [each.name for each in options if not each.help] == []


BAD_INPUT = {
    "unknown verb": (["runn"], "no verb 'runn'; did you mean 'run'?"),
    "nothing like a verb": (["zzz"], "no verb 'zzz'; accepted: run, plan,"),
    "unknown option": (["run", "--otput", "x"], "--otput"),
    "unknown study": (["run", "quik"], "did you mean 'quick'"),
    "study file absent": (["run", "absent.toml"], "No such file or directory"),
    "study not TOML": (["run", "broken.toml"], "broken.toml, line 1: not valid TOML"),
    "misspelt key": (
        ["run", "misspelt.toml"],
        "misspelt.toml, line 3: unknown key optimisers; did you mean 'optimizer'?",
    ),
    "misspelt override": (["run", "smoke", "--set", "execution.worker=1"], "did you mean 'workers'"),
    "override without value": (["run", "smoke", "--set", "execution.workers"], "path.to.key=value"),
    "one value twice": (["run", "smoke", "--output", "a", "--output=b"], "--output is given 2 times"),
    "one key twice": (
        ["run", "smoke", "--set", "execution.workers=1", "--set", "execution.workers=2"],
        "--set execution.workers is given 2 times",
    ),
    "below a verb": (["baseline", "update", "--reason", "a", "--reason", "b"], "--reason is given 2 times"),
    "negative damping": (
        ["run", "smoke", "--set", "optimizer.tngd.damping=-1"],
        "damping must be a finite number >= 0, not -1",
    ),
    "no bits": (["run", "smoke", "--set", "optimizer.tngd.adc_bits=0"], "adc_bits must be an integer >= 1"),
    "too small": (["run", "smoke", "--set", "training.digits.parameters=5"], "the smallest model, not 5"),
    "too many samples": (["run", "smoke", "--set", "training.digits.train_size=9999"], "train_size must be"),
    "batch too large": (
        ["run", "smoke", "--set", "training.digits.batch_size=999"],
        "batch_size must be <= 320",
    ),
    "output is a file": (["run", "smoke", "--output", "file"], "file is a file, not a folder"),
    "output below a file": (["run", "smoke", "--output", "file/deep"], "file is a file, not a folder"),
    "no results": (["report", "empty"], "has no results store"),
    "results absent": (["report", "absent"], "does not exist"),
    "results a file": (["report", "file"], "file is no packed store"),
    "unknown kind": (["list", "optimisers"], "optimisers"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_is_one_line_and_exit_code_3_and_nothing_is_written(
    here, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.toml").write_text("name = \n")
    (tmp_path / "misspelt.toml").write_text('name = "a"\ntitle = "A"\n[optimisers.sgd]\nlr = 0.1\n')
    before = contents(tmp_path)
    found = here(*arguments)
    assert found.returncode == 3, found.stderr
    (line,) = found.stderr.splitlines()
    assert line.startswith("tngd-bench: error: ")
    assert message in line
    assert contents(tmp_path) == before


def test_the_exit_code_and_the_line_are_the_process_s_own(tmp_path):
    found = tngd_bench("run", "quik", "--output", "out", cwd=tmp_path)
    assert (found.returncode, found.stdout) == (3, "")
    (line,) = found.stderr.splitlines()
    assert line.startswith("tngd-bench: error: ")
    assert contents(tmp_path) == []


def test_no_arguments_show_the_help():
    found = tngd_bench()
    assert "Usage: tngd-bench" in found.stdout
    assert found.returncode == 3


def test_list_names_everything_that_can_be_chosen(here):
    found = here("list")
    for word in (
        "problems",
        "digits-mlp",
        "optimizers",
        "tngd-adam",
        "devices",
        "paper",
        "studies",
        "quick",
        "smoke",
    ):
        assert word in found.stdout.split()
    only = here("list", "devices")
    assert "paper" in only.stdout
    assert "tngd-adam" not in only.stdout


def test_the_settings_of_an_optimizer_are_listed_with_their_defaults(capsys):
    assert command_line.run(["list", "optimizers", "tngd"]) == 0
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in capsys.readouterr().out.splitlines()}
    assert list(rows) == list(registry.get("tngd").settings)
    assert rows["damping"] == "0.01"
    assert rows["adc_bits"] == "the device's own (ADC resolution)"
    assert command_line.run(["list", "optimizers", "tgnd"]) == 3
    assert "did you mean 'tngd'" in capsys.readouterr().err


def test_data_are_looked_for_in_the_folder_that_is_named(tmp_path, monkeypatch, capsys):
    """Also that looking elsewhere is told on stderr, place by place."""
    monkeypatch.setenv(finder.CACHE_VARIABLE, "before")
    monkeypatch.setattr(mnist, "PLACES", (Place("nowhere", lambda names: {}),))
    log = logging.getLogger("tngd_bench.datasets")
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(log, "level", log.level)
    search_as_notes()
    words = ["plan", "quick", "--data", str(tmp_path)]
    assert command_line.run(words) == 2
    told = capsys.readouterr().err
    assert (
        f"MNIST was not found. Tried {tmp_path / 'mnist'}: no such files; {tmp_path}: no such files" in told
    )
    assert "note: looking for MNIST (train-images-idx3-ubyte" in told
    assert "; 55.0 MB) at nowhere" in told
    assert command_line.run([*words[:-1], str(tmp_path / "absent")]) == 3


def test_info_is_readable_by_people_and_programs(here):
    found = json.loads(here("info", "--json").stdout)
    assert found["cores"] >= 1
    assert found["packages"]["torch"]
    text = here("info").stdout
    assert found["cpu"] in text
    assert "GiB" in text
    assert f"tngd_bench {found['code']['tngd_bench']}, " in text


def test_smoke_runs_to_its_report_and_the_report_can_be_made_again(here, tmp_path, monkeypatch):
    ran = tngd_bench("run", "smoke", "--set", "training.noise.seeds=1", "--output", "out", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    lines = ran.stdout.splitlines()
    assert lines[-1] == "report: out/index.html"
    assert re.fullmatch(r"time: [\d.]+ \w+, planned [\d.]+ \w+ by formula", lines[-2])
    counted = re.findall(r"^\[(\d+)/(\d+)\] ", ran.stdout, flags=re.MULTILINE)
    assert counted[-1][0] == counted[-1][1]
    assert f"study smoke: {counted[-1][1]} trials in {len(counted)} processes" in ran.stdout
    assert "ngd skipped: needs" in ran.stdout
    assert "\x1b" not in ran.stdout
    page = (tmp_path / "out" / "index.html").read_bytes()
    assert b"--set training.noise.seeds=1" in page
    assert b'href="store/trials/' in page
    monkeypatch.chdir(tmp_path)
    again = here("report", "out")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out" / "index.html").read_bytes() == page


@pytest.mark.slow(
    reason="three reports; tests/studies/run/test_run_study.py and test_store.py have what is torn without any"
)
def test_smoke_reported_elsewhere_and_repaired(tmp_path):
    ran = tngd_bench("run", "smoke", "--set", "training.noise.seeds=1", "--output", "out", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    (total,) = re.findall(
        r"^study smoke: (\d+) trials in \d+ processes, 0 skipped$", ran.stdout, re.MULTILINE
    )
    assert f"\n[{total}/{total}] " in ran.stdout
    elsewhere = tngd_bench("report", "out", "--output", "copy", cwd=tmp_path)
    assert elsewhere.returncode == 0, elsewhere.stderr
    copied = (tmp_path / "copy" / "index.html").read_bytes()
    assert b'href="store/' not in copied  # the records are not beside this page
    # A torn file is named, its trial alone is run again.
    torn = next((tmp_path / "out" / "store" / "trials").glob("*.json"))
    torn.write_text(torn.read_text()[:100])
    repaired = tngd_bench("run", "smoke", "--set", "training.noise.seeds=1", "--output", "out", cwd=tmp_path)
    assert repaired.returncode == 0
    assert f"{total} trials in" in repaired.stdout
    assert torn.name in repaired.stderr
    assert len(re.findall(r"^\[\d+/\d+\] ", repaired.stdout, re.MULTILINE)) == 1


def test_unexpected_errors_are_one_line_with_a_traceback_kept(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(command_line.tempfile, "tempdir", None)

    def broken(*arguments, **options):
        raise KeyError("what\never")

    monkeypatch.setattr(command_line.cli, "main", broken)
    assert command_line.run(["list"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    (log,) = tmp_path.glob("tngd-bench-*.log")
    assert "unexpected" in line
    assert str(log) in line
    assert "Traceback" in log.read_text()


def test_data_that_cannot_be_had_is_a_failure_in_one_line(monkeypatch, capsys):
    from tngd_bench.datasets.finder import DataNotFoundError

    def absent(*arguments, **options):
        raise DataNotFoundError("MNIST", [("a mirror", "no network")], ["train"])

    monkeypatch.setattr(command_line.cli, "main", absent)
    assert command_line.run(["run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "MNIST was not found" in line


@pytest.mark.parametrize("through", ["", "m.cli.main = lambda **_: Console().print('x'); "])
def test_a_reader_that_stops_reading_ends_it_as_sigpipe_does_and_without_a_word(through):
    code = (
        f"from rich.console import Console; from tngd_bench.cli import main as m; {through}m.main(['list'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), errors) == (141, "")


@pytest.mark.parametrize("code", [0, 5, None, "gone"])
def test_outside_code_that_ends_the_process_is_a_failure_in_one_line(monkeypatch, capsys, code):
    """Neither success without output, nor a reader that left."""

    def ending(*arguments, **options):
        raise SystemExit(code)

    monkeypatch.setattr(command_line.cli, "main", ending)
    assert command_line.run(["list"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tngd-bench: error: outside code ended the process, SystemExit")


def test_a_full_output_is_one_line_and_a_failure():
    code = "from tngd_bench.cli.main import main; main(['list'])"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "tngd-bench: error: the output cannot be written: No space left on device\n"


def test_closed_streams_and_an_ascii_output_stop_nothing():
    code = "from tngd_bench.cli.main import main; main(['list'])"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "")
    closed = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command])
    assert closed.returncode == 0


def test_the_package_s_warnings_are_notes_of_one_line_and_never_errors(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings_as_notes()
        warnings.warn_explicit("beware", UserWarning, finder.__file__, 1, module=finder.__name__)
        with pytest.raises(UserWarning, match="other"):
            warnings.warn_explicit("other", UserWarning, "/elsewhere.py", 1, module="elsewhere")
    assert capsys.readouterr().err == "tngd-bench: note: beware\n"


def test_results_of_another_version_of_a_study_are_one_note(capsys):
    tell_ignored({"a.json": OF_NO_TRIAL, "b.json": "it is torn", "c.json": OF_NO_TRIAL})
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("tngd-bench: note: 2 results in the store are of no trial")
    assert second == "tngd-bench: note: b.json it is torn; ignored"


def test_a_folder_that_is_gone_is_told_before_torch_ends_the_process(here, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    done = here("list")
    assert done.returncode == 3
    assert "current folder cannot be used" in done.stderr
    assert here("--help").returncode == 0


def test_a_command_s_bytes_that_are_no_text_are_recorded_as_escapes():
    words = ["tngd-bench", "run", os.fsdecode(b"a b\xff.toml")]
    assert command_line_of(words) == r"tngd-bench run 'a b\xff.toml'"
