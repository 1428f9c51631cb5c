"""Files kept of a training run beside its record, on request: final weights and the curve."""

import io
from collections.abc import Collection

import torch

from tngd_bench.measure.training import TrainingResult

WEIGHTS, CURVE = "weights.pt", "curve.csv"


def artefacts(keep: Collection[str], result: TrainingResult) -> dict[str, bytes]:
    """Return by name the files that `keep` asks for.

    Weights are the model's `state_dict`, which `torch.load(…, weights_only=True)` reads; the curve has a row a point.
    """
    files = {}
    if result.weights is not None:
        packed = io.BytesIO()
        torch.save(dict(result.weights), packed)
        files[WEIGHTS] = packed.getvalue()
    if "curve" in keep:
        import pandas as pd  # now: the server of worker processes imports this module, and seldom needs it

        table = pd.DataFrame([point.columns() for point in result.curve])
        files[CURVE] = table.to_csv(index=False).encode()
    return files
