"""The eigendecomposition behind the Gram transition: what happens where single precision fails."""

import torch
from torch import nn

from tngd_bench.curvature import GGN
from tngd_bench.spu import OUProcess


def test_a_decomposition_that_fails_in_single_precision_is_made_in_double(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4))
    inputs, targets = torch.rand(6, 5), torch.arange(6) % 4
    ggn = GGN(model, nn.CrossEntropyLoss(), inputs, targets)
    right = torch.randn(ggn.size, generator=torch.Generator().manual_seed(1))
    exact = OUProcess(ggn, right, damping=0.1, method="dense").mean(torch.zeros_like(right), 5.0)
    decompose, failed = torch.linalg.eigh, []

    def as_lapack_may(matrix):
        if matrix.dtype == torch.float32:
            failed.append(matrix.shape)
            raise torch.linalg.LinAlgError("linalg.eigh: The algorithm failed to converge")
        return decompose(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", as_lapack_may)
    found = OUProcess(ggn, right, damping=0.1, method="gram").mean(torch.zeros_like(right), 5.0)
    assert failed
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-5)
