"""Every page reads easily: short sentences, plain words, no names from inside the program."""

from pathlib import Path

import pytest

from tests.report import reading
from tests.report.reading import Prose, prose, syllables

COUNTED = {
    1: "time times one link seeds step steps reads curve rules bound changed",
    2: "device measured table sizes needed rated modelled batch-size largest",
    3: "processes gradient digital idea area readable formulas median period converter",
    4: "optimizer iteration accuracy relaxation calibration",
}
"""Syllables as dictionaries have them."""


def stumbles(page: str) -> list[str]:
    """Return what a reader would stumble over, with the reading ease where that is too low."""
    found = prose(page)
    ease = found.ease()
    hard = [f"reading ease {ease:.0f}"] if ease < reading.EASIEST_ALLOWED else []
    return [*hard, *dict.fromkeys(found.too_long()), *dict.fromkeys(found.internal())]


def test_syllables_are_counted_as_dictionaries_do_up_to_one_in_twenty():
    pairs = [(word, number) for number, words in COUNTED.items() for word in words.split()]
    wrong = [(word, syllables(word)) for word, number in pairs if syllables(word) != number]
    assert len(wrong) <= len(pairs) / 20, wrong


def test_the_reader_finds_what_is_wrong_and_nothing_else():
    page = """<body><p>One two. <svg><text>write_convert</text></svg> Three four</p><table><td>lr_b</td></table>
    <ul><li>It is None tested, at d_z = 10 and t_d = 1 τ, e.g. in docs/store.md</li></ul><pre>a_b</pre></body>"""
    found = prose(page)
    assert found.blocks[0] == "One two. Three four"
    assert list(found.sentences())[:2] == ["One two.", "Three four"]
    assert found.too_long() == found.internal() == []
    for inside in (
        "the write_convert part",
        "ends at NaN",
        "tngd[damping=0.1] ran",
        "memory = None",
        "x is inf",
    ):
        assert Prose((inside,)).internal(), inside
    assert Prose(("word " * 31,)).too_long()
    assert not Prose(("word " * 30,)).too_long()


def test_reading_ease_is_fleschs():
    # "The cat sat on the mat": six words of one syllable in one sentence.
    assert Prose(("The cat sat on the mat.",)).ease() == pytest.approx(206.835 - 1.015 * 6 - 84.6)


def test_the_page_of_a_small_study_reads_easily(built):
    assert stumbles(built.html.read_text(encoding="utf-8")) == []


@pytest.mark.slow(reason="reads the records of the sample")
def test_the_sample_page_reads_easily():
    from tngd_bench.studies.store.records import read_records

    sample = Path(__file__).parents[2] / "reports" / "paper"
    study = read_records(sample).study
    recorded = " ".join(
        [study["description"], *(item for topic in study["choices"].values() for item in topic)]
    )
    found = stumbles((sample / "index.html").read_text(encoding="utf-8"))
    assert [text for text in found if text not in " ".join(recorded.split())] == []


def test_shipped_studies_describe_themselves_in_short_sentences():
    from tngd_bench.studies.file.merge import read_table, shipped_studies

    for name in shipped_studies():
        table = read_table(name).table
        told = [item for topic in table.get("choices", {}).values() for item in topic]
        text = Prose((" ".join(table["description"].split()), *told))
        assert text.too_long() == [], name


def _with_smoke() -> list[str]:
    from tngd_bench.studies.file.merge import read_table, shipped_studies

    return [name for name in shipped_studies() if "smoke" in read_table(name).profiles or name == "smoke"]


@pytest.mark.slow(reason="runs every shipped study that has a profile of seconds")
@pytest.mark.parametrize("study", _with_smoke())
def test_the_page_of_every_shipped_study_reads_easily(study, tmp_path):
    from tngd_bench.datasets.finder import DataNotFoundError
    from tngd_bench.report import build_report
    from tngd_bench.studies import Study
    from tngd_bench.studies.errors import StudyError

    try:
        Study.read(study, (), None if study == "smoke" else "smoke").run(tmp_path)
    except (StudyError, DataNotFoundError) as lacking:
        pytest.skip(str(lacking))
    from tngd_bench.studies.store.records import read_records

    page = build_report(read_records(tmp_path), tmp_path).html
    assert stumbles(page.read_text(encoding="utf-8")) == []
