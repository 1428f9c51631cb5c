import re

from tngd_bench.report.document.slugs import slug


def test_plain_names_stay_readable():
    assert slug("cost", 32, "Noise_variance") == "cost-32-noise-variance"


def test_text_that_is_lost_is_told_apart_by_a_digest():
    names = [slug("a/b"), slug("a b"), slug("../a"), slug("<script>"), slug("κ"), slug("x" * 300 + "!")]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]{1,70}", name) for name in names)
