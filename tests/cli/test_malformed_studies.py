"""Study files that no one should have written, thrown at the command line: one clear line each, and exit code 3.

A good file is spoiled in one place, by a mutation of its text or of one of its values. Some mutations leave a good
file; `plan` would then go on to load data and to measure the machine, so it is stopped where reading has succeeded,
and the test asks of those only that they were read. How many are refused is counted, so that the test cannot pass by
accepting everything.
"""

import random
import re

import click
import pytest

from tngd_bench.cli import main as command_line
from tngd_bench.studies.run import dry_run

GOOD = """\
include = ["below.toml"]
name = "mine"
title = "Mine"
description = "Whatever"

[execution]
workers = 2
dtype = "float32"
seconds_per_iteration_limit = 0.5

[optimizer.tngd]
analog_time = 5.0
start = "gradient"

[tuned.adam]
lr = 0.02

[device.mine]
base = "paper"
adc_bits = 8
source = "a datasheet"

[[cost]]
name = "size"
problem = "digits-mlp"
parameters = [1000, 2000]
batch_size = [8, 16]
optimizers = ["sgd", "adam[tuned]", "tngd[device=mine, analog_time=[5, 10]]"]
processes = 5
repetitions = 3

[[training]]
name = "digits"
problem = "digits-mlp"
parameters = [1000, 2000]
optimizers = ["sgd", "tngd"]
epochs = 1
seeds = 2
targets = [{ metric = "test_accuracy", value = 0.9, provenance = "fixed" }]

[[training]]
name = "noise"
problem = "digits-mlp"
parameters = 1000
optimizers = ["tngd"]
epochs = 0.5
sweep = [
    { parameter = "noise_variance", values = [0, 0.01] },
    { parameter = "adc_bits", values = ["ideal", 8], labels = ["none", "eight"] },
]

[profiles.smoke]
"cost.size.repetitions" = 3
training.digits.enabled = false
"""
BELOW = 'name = "below"\n[optimizer.sgd]\nlr = 0.1\n'
SPOILED_VALUES = [
    *["nan", "inf", "-inf", "1e999", "-1", "0", "-0.0", "1.5", "true", "1979-05-27", "07:32:00"],
    *["9223372036854775808", "0x" + "f" * 5000, "1" * 5000, "1" + "0" * 18, "1e308", "1e-320"],
    *[
        '""',
        '" "',
        '"ideal"',
        '"\\u0000"',
        '"a\\nb"',
        '"\\u001b[31m"',
        '"日本語"',
        '"' + "x" * 300 + '"',
        "'\u2028'",
    ],
    *[
        "[]",
        "[[]]",
        "[1, 1]",
        "[nan]",
        '["sgd", "sgd"]',
        '["tngd[", "]"]',
        '["tngd[lr=[1,2,]"]',
        "{}",
        "{ a = 1 }",
    ],
    *[
        '["adam[tuned, tuned]"]',
        '["sgd[tuned]"]',
        '["tngd[device=[mine, mine]]"]',
        '["tngd[analog_time=[]]"]',
    ],
    *[
        '["tngd[analog_time=1e400]"]',
        '["[]"]',
        "[{}]",
        '[{ name = "size" }]',
        '["mine.toml"]',
        '["absent"]',
        '["."]',
    ],
    *['["tngd[🦀=1]"]', '["tngd[a=\\"]"]', '["tngd[' + "a=1," * 50 + ']"]', '["' + "[" * 200 + '"]'],
]
SPOILED_KEYS = [
    "",
    '""',
    '"a.b"',
    "naem",
    "optimisers",
    "Name",
    "ß = 1\n",
    '"\\u0000"',
    "name",
    "include",
    "profiles",
]
SPOILED_LINES = [
    *[
        "[",
        "[[",
        "[[cost",
        "[execution]",
        "[[execution]]",
        "[cost]",
        "[[cost]]",
        "[profiles]",
        "[profiles.smoke.x]",
    ],
    *[
        "name = ",
        "= 1",
        "a b = 1",
        "x = 1 2",
        'x = "',
        "x = '''",
        "x = [1,",
        "x = {",
        "\x00",
        "\ufeff",
        "\x1b[31m",
    ],
    *["include = ['mine.toml']", 'include = ["below.toml", "below.toml"]', "x = " + "[" * 2000 + "]" * 2000],
    *[
        "[optimizer.tgnd]",
        "[tuned.adam]",
        "[tuned.none]",
        "[device.paper]",
        "[device.x]",
        "[tuning]",
        "[tuned]\nx = 1",
    ],
]


def spoil(draw):
    """Return the good file with one thing wrong, or with a change that may be right."""
    lines = GOOD.splitlines()
    place = draw.randrange(len(lines))
    kind = draw.choice(
        ["value", "value", "value", "key", "line", "drop", "double", "cut", "character", "swap", "item"]
    )
    if kind in ("value", "key", "item"):
        place = draw.choice([number for number, line in enumerate(lines) if re.match(r'["\w.]+ = ', line)])
        key, _, value = lines[place].partition(" = ")
        if kind == "key":
            key = draw.choice([draw.choice(SPOILED_KEYS), key[:-1], key + "s", key.upper()])
        elif kind == "item" and value.startswith("["):
            value = f"[{draw.choice(SPOILED_VALUES)}, {value[1:]}"
        else:
            value = draw.choice(SPOILED_VALUES)
        lines[place] = f"{key} = {value}"
    elif kind == "line":
        lines.insert(place, draw.choice(SPOILED_LINES))
    elif kind == "drop":
        del lines[place]
    elif kind == "double":
        lines.insert(draw.randrange(len(lines)), lines[place])
    elif kind == "swap":
        other = draw.randrange(len(lines))
        lines[place], lines[other] = lines[other], lines[place]
    text = "\n".join(lines) + "\n"
    if kind == "cut":
        return text[: draw.randrange(1, len(text))]
    if kind == "character":
        at = draw.randrange(len(text))
        return (
            text[:at]
            + draw.choice(['"', "[", "]", "=", "\n", ".", "#", "é", "\t", "{", "\\"])
            + text[at + 1 :]
        )
    return text


def throw(
    texts, folder, monkeypatch, capsys, profiles=((), (), ("--profile", "smoke"), ("--profile", "smok\n"))
):
    """Throw `texts` at `plan`, with one of `profiles` each; return how many were refused."""

    def stop(*arguments, **options):
        raise click.exceptions.Exit(0)

    monkeypatch.chdir(folder)
    monkeypatch.setattr(dry_run, "dry_run", stop)
    (folder / "below.toml").write_text(BELOW)
    draw, refused = random.Random(0), 0
    for text in texts:
        (folder / "mine.toml").write_text(text, encoding="utf-8", newline="")
        code = command_line.run(["plan", "mine.toml", *draw.choice(profiles)])
        errors = capsys.readouterr().err
        if code == 0:
            assert errors == ""
            continue
        refused += 1
        assert code == 3, (text, errors)
        (line,) = errors.splitlines()
        assert errors.endswith("\n")
        assert line.startswith("tngd-bench: error: "), line
        assert line.isprintable()
        assert "pydantic" not in line.lower()
        assert 30 < len(line) < 1500, (text, line)
    return refused


def spoiled(number):
    draw = random.Random(20260724)
    return (spoil(draw) for _ in range(number))


def test_the_good_file_is_good(tmp_path, monkeypatch, capsys):
    for profile in ((), ("--profile", "smoke")):
        assert throw([GOOD], tmp_path, monkeypatch, capsys, profiles=[profile]) == 0


def test_two_hundred_spoiled_files_get_one_line_each(tmp_path, monkeypatch, capsys):
    assert throw(spoiled(260), tmp_path, monkeypatch, capsys) >= 200


@pytest.mark.slow(reason="reads two thousand files")
def test_two_thousand_spoiled_files_get_one_line_each(tmp_path, monkeypatch, capsys):
    assert throw(spoiled(2_700), tmp_path, monkeypatch, capsys) >= 2_000
