"""The findings of a study, three sentences computed from the data: cost, convergence, noise.

A sentence claims no more than its rule allows, and says "not measured" or "not confirmed" otherwise. The rules: an
optimizer is cheapest at a size if the 95 % interval of its paired time ratio to the runner-up leaves out 1, and the
lead is within run-to-run spread where it is less than twice its error and √2·σ_run (see `run_spread`);
convergence as in `findings.convergence`; tolerance as in `training.tolerance`, of loss and test accuracy together.
"""

from dataclasses import dataclass

from tngd_bench.analysis import quantities
from tngd_bench.analysis.findings.convergence import convergence_sentence
from tngd_bench.analysis.findings.cost import cost_sentence
from tngd_bench.analysis.findings.noise import device_sentence
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.training.sweep_kinds import swept_names, without_scale


@dataclass(frozen=True)
class Findings:
    """Three sentences in plain text; `failed` has the term and the error of each that could not be made and says so."""

    cost: str
    convergence: str
    noise: str
    failed: tuple[tuple[str, Exception], ...] = ()

    def sentences(self) -> tuple[str, str, str]:
        """Return the three in reading order."""
        return (self.cost, self.convergence, self.noise)


def find(results: Results) -> Findings:
    """Return the three findings of a study, as the page and the terminal tell them."""
    made = {"Cost": cost_sentence, "Convergence": convergence_sentence, "Noise": _noise_sentence}
    sentences, failed = [], []
    for term, sentence in made.items():
        try:
            sentences.append(sentence(results))
        except Exception as error:
            sentences.append(f"{term}: this sentence could not be made ({type(error).__name__}: {error}).")
            failed.append((term, error))
    cost, convergence, noise = sentences
    return Findings(cost, convergence, noise, tuple(failed))


def _noise_sentence(results: Results) -> str:
    noise = device_sentence(results)
    training = results.of_kind("training")
    unjudged = training[without_scale(training)]
    if len(unjudged):
        names = quantities.listed(swept_names(unjudged))
        noise += f" Not judged here: {names}; see the tables of sensitivity."
    return noise
