"""The records behind a verdict, in words: the study with its profile, and how long its trainings ran."""

from collections.abc import Mapping

import pandas as pd

from tngd_bench.analysis.claims.types import Verdict
from tngd_bench.analysis.results import Results
from tngd_bench.report.document.tables import span_text
from tngd_bench.studies.store import columns as c


def training_runs(results_by_study: Mapping[str, Results]) -> pd.DataFrame:
    """Return one row per training trial, by (study, key): `iterations` it ran and `examples` it was trained on.

    Both are NaN where the records do not tell.
    """
    frames = []
    for name, results in results_by_study.items():
        sections = results.study.get("training") or ()
        sizes = {str(section.get("name")): section.get("train_size") for section in sections}
        own = results.of_kind("training")
        iterations = own[c.KEY].map(results.curves.groupby(c.KEY)[c.ITERATION].max()).astype(float)
        examples = pd.to_numeric(own[c.GROUP].map(sizes)).astype(float)
        frames.append(own[[c.KEY]].assign(study=name, iterations=iterations, examples=examples))
    return pd.concat(frames, ignore_index=True).set_index(["study", c.KEY])


def measured_on(verdict: Verdict, runs: pd.DataFrame, results_by_study: Mapping[str, Results]) -> str:
    """Return e.g. "paper-fashion, profile quick, 156 iterations on 10,000 examples"; "" where no record was used.

    `runs` as from `training_runs`.
    """
    said = []
    for study in dict.fromkeys(study for study, _ in verdict.keys):
        own = runs.reindex([pair for pair in verdict.keys if pair[0] == study])
        words = [study_with_profile(study, results_by_study)]
        if own["iterations"].notna().any():
            examples = f" on {span_text(own['examples'])} examples" if own["examples"].notna().any() else ""
            words.append(f"{span_text(own['iterations'])} iterations{examples}")
        said.append(", ".join(words))
    return "; ".join(said)


def study_with_profile(study: str, results_by_study: Mapping[str, Results]) -> str:
    """Return e.g. "paper-fashion, profile quick": the name alone where the records name no profile."""
    results = results_by_study.get(study)
    profile = str(results.study.get("profile") or "") if results is not None else ""
    return f"{study}, profile {profile}" if profile else study
