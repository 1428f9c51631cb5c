"""Options that name files and folders, of all verbs: what stands in the way is told, what somebody else wrote stays."""

import click
import pytest

from tngd_bench.cli import option_kinds
from tngd_bench.cli.main import _VERBS, cli, run
from tngd_bench.unwritable import is_foreign

READ = {"--from", "--beside", "--store", "--file", "--data"}
"""Options of files and folders that are read, or read before they are written."""
ADDED_TO = {"--summary"}
"""Options of files to which something is added: nothing of them is lost."""
SWEEP = ["--parameters", "1e6", "--batch", "8", "--outputs", "10", "--sweep", "link_rate=1e9,1e12"]


def options():
    """Every option of a file or folder, with the words before it."""
    for verb in _VERBS:
        command = cli.get_command(click.Context(cli), verb)
        inner = command.commands if isinstance(command, click.Group) else {"": command}
        for name, each in inner.items():
            for option in each.params:
                if isinstance(option, click.Option) and isinstance(option.type, click.Path):
                    yield [verb, *([name] if name else [])], option


WRITTEN = [
    pytest.param(words, option, id=f"{' '.join(words)} {option.opts[0]}")
    for words, option in options()
    if option.opts[0] not in READ | ADDED_TO
]


@pytest.mark.parametrize(("words", "option"), WRITTEN)
def test_no_option_replaces_what_somebody_else_wrote(words, option, tmp_path, capsys, monkeypatch):
    """Those of a folder name a file in its place; those of a file leave one that this package did not write."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "notes.svg"
    place.write_text("mine")
    positional = {"merge": ["a"], "compare": ["a", "b"], "report": ["a"], "export": ["a"], "tune": ["smoke"]}
    given = [*words, *positional.get(words[0], []), *(SWEEP if words[0] == "predict" else [])]
    assert run([*given, option.opts[0], str(place)]) == 3
    told = capsys.readouterr().err
    assert "notes.svg" in told
    assert told.count("\n") == 1
    assert "is a file, not a folder" in told or "would replace it" in told
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("notes.svg", "mine")]


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_folder_may_be_made_but_not_in_the_place_of_a_file(tmp_path, below):
    (tmp_path / "taken").write_text("")
    with pytest.raises(click.BadParameter, match=r"taken is a file, not a folder"):
        option_kinds.FOLDER.convert(str(tmp_path / "taken" / below), None, None)
    assert option_kinds.FOLDER.convert(str(tmp_path / "new" / below), None, None) == tmp_path / "new" / below


def test_ours_are_told_by_their_mark(tmp_path):
    absent, empty, ours, theirs = (tmp_path / name for name in ("absent", "empty", "ours", "theirs"))
    empty.write_bytes(b"")
    ours.write_bytes(b"\xff the mark")
    theirs.write_bytes(b"\xff no such thing")
    assert [is_foreign(path, "mark") for path in (absent, empty, ours, theirs, tmp_path)] == [
        *(False, False, False, True, False)
    ]
