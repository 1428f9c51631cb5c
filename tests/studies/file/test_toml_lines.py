import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tngd_bench.studies.file.toml_lines import line_numbers

DOCUMENT = '''# a comment with [brackets] and "quotes"
name = "a"   # [not.a.table]
"quoted key".inner = 1

text = """
[not.a.header]
key = 1
"""
[execution]
workers = 1
[tuned."tngd[analog_time=5]"]
lr = 0.1

[[cost]]
name = "one"
parameters = [
    1, # first
    2,
    [3, { deep = "}" }],
]
sweep = { parameter = "x", values = [1, 2] }
[[cost]]
name = "two"
[cost.inner]
a.b = 1
[[cost.nested]]
c = '[['
[[cost.nested]]
c = 2
'''
EXPECTED = {
    ("name",): 2,
    ("quoted key", "inner"): 3,
    ("text",): 5,
    ("execution",): 9,
    ("execution", "workers"): 10,
    ("tuned", "tngd[analog_time=5]", "lr"): 12,
    ("cost", 0): 14,
    ("cost", 0, "parameters"): 16,
    ("cost", 0, "parameters", 1): 18,
    ("cost", 0, "parameters", 2, 1, "deep"): 19,
    ("cost", 0, "sweep", "values", 1): 21,
    ("cost", 1, "name"): 23,
    ("cost", 1, "inner", "a", "b"): 25,
    ("cost", 1, "nested", 0, "c"): 27,
    ("cost", 1, "nested", 1, "c"): 29,
}


@pytest.mark.parametrize(("path", "line"), EXPECTED.items())
def test_lines_of_a_document(path, line):
    assert line_numbers(DOCUMENT)[path] == line


def test_line_ends_of_windows():
    assert line_numbers("a = 1\r\n[b]\r\nc = [\r\n1,\r\n2]\r\n")[("b", "c", 1)] == 5


def paths(value, at=()):
    """Return the path of everything inside a parsed document."""
    items = list(
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return {(*at, key) for key, _ in items} | {
        path for key, part in items for path in paths(part, (*at, key))
    }


keys = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,4}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=4).map(
        lambda text: f'"{text}"'
    ),
)
scalars = st.one_of(
    st.integers(-99, 99).map(str),
    st.sampled_from(
        ["true", "1e3", "inf", "1979-05-27 07:32:00", '"#[{="', "'],}'", '"""a\n"b""c""""', "'''\nx''y'''"]
    ),
)
inline = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[ " + ",\n # ]\n ".join(items) + "\n]"),
        st.dictionaries(keys, inner, max_size=3).map(
            lambda table: "{ " + ", ".join(f"{key} = {value}" for key, value in table.items()) + " }"
        ),
    ),
    max_leaves=5,
)
pairs = st.tuples(keys, inline).map(lambda pair: f"{pair[0]} = {pair[1]}")
headers = st.lists(keys, min_size=1, max_size=3).map(" . ".join)
statements = st.one_of(
    pairs, headers.map("[{}]".format), headers.map("[[ {} ]]".format), st.just("# [x]"), st.just("")
)


@settings(max_examples=80)
@given(st.lists(statements, max_size=8).map("\n".join))
def test_every_path_that_the_parser_finds_has_a_line_that_names_it(text):
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = line_numbers(text)
    assert set(found) == paths(table)
    lines = text.split("\n")
    for path, line in found.items():
        if isinstance(path[-1], str) and path[-1].isalnum() and path[-1].isascii():
            assert path[-1] in lines[line - 1]
