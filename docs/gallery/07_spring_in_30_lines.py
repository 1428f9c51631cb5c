"""
SPRING in 30 lines
==================

SPRING (arXiv 2401.10190) is exact natural gradient with a memory of its last direction x₋:

    x = argmin ‖B x − w‖² + λ‖x − μ x₋‖² = μ x₋ + Bᵀ (K + λI)⁻¹ (w − μ B x₋)

where G = BᵀB, K = BBᵀ and ∇ℓ = Bᵀw. `NGD(..., memory=μ)` has it. Here it is by hand, as a start for a method
of your own.
"""

import torch
from sklearn.datasets import load_digits

from tngd_bench.curvature import GGN
from tngd_bench.optimizers import NGD

LR, DAMPING, MEMORY = 0.05, 0.01, 0.9
images, labels = load_digits(return_X_y=True)
inputs, targets = torch.tensor(images / 16), torch.tensor(labels)  # float64
loss = torch.nn.CrossEntropyLoss()


def network():
    """Return the same untrained network at every call."""
    torch.manual_seed(0)
    layers = torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)
    return torch.nn.Sequential(*layers).double()


# %%
# The method: from here to the end of the loop.

model, last = network(), None
for batch in torch.randperm(1400, generator=torch.Generator().manual_seed(0)).split(50):
    ggn = GGN(model, loss, inputs[batch], targets[batch])
    kept = torch.zeros_like(ggn.gradient) if last is None else MEMORY * last
    w, rest = ggn.gradient_weights
    system = ggn.gram() + DAMPING * torch.eye(ggn.rows, dtype=torch.float64)
    last = kept + ggn.factor_rmatvec(torch.linalg.solve(system, w - ggn.factor_matvec(kept)))
    if rest is not None:  # of classes whose probability vanishes
        last = last + rest / DAMPING
    with torch.no_grad():
        for parameter, piece in zip(model.parameters(), ggn.parameters.views(last), strict=True):
            parameter -= LR * piece
print(f"loss of the last batch {float(ggn.loss):.4f}")

# %%
# The optimizer of the package ends at the same weights.

ours = network()
optimizer = NGD(ours, loss, lr=LR, damping=DAMPING, memory=MEMORY)
for batch in torch.randperm(1400, generator=torch.Generator().manual_seed(0)).split(50):
    optimizer.step(inputs[batch], targets[batch])
difference = max(
    float((a - b).detach().abs().max()) for a, b in zip(model.parameters(), ours.parameters(), strict=True)
)
print(f"largest difference of a weight {difference:.1e}")
assert difference < 1e-8
