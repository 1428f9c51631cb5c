"""The study of every test here: no rows yet."""

import pytest

from tests.analysis.findings.rows import Study


@pytest.fixture
def study():
    return Study()
