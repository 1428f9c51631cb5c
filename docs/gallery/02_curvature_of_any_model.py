"""
GGN products and exact NGD of any model
=======================================

`GGN` is the generalized Gauss-Newton matrix G of one batch. It is never formed unless you ask for it. Any
`nn.Module` will do, and any loss that is a sum or mean of convex terms, one for each sample.
"""

import torch
from sklearn.datasets import load_digits

from tngd_bench.curvature import GGN
from tngd_bench.solvers import CG, Dense, Gram

images, labels = load_digits(return_X_y=True)
inputs = torch.tensor(images / 16, dtype=torch.float32).view(-1, 1, 8, 8)[:64]
targets = torch.tensor(labels)[:64]

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Conv2d(1, 8, 3),
    torch.nn.GroupNorm(2, 8),
    torch.nn.ReLU(),
    torch.nn.Flatten(),
    torch.nn.Linear(288, 10),
)
ggn = GGN(model, torch.nn.CrossEntropyLoss(), inputs, targets)
print(f"N = {ggn.size} parameters, m = {ggn.rows} rows, loss {float(ggn.loss):.3f}")

# %%
# Products with G, with its factor B (G = BᵀB) and with the Gram matrix K = BBᵀ.

v = torch.randn(ggn.size)
print("vᵀGv  ", float(v @ ggn.matvec(v)))
print("‖Bv‖² ", float(ggn.factor_matvec(v).square().sum()))
print("K     ", tuple(ggn.gram().shape))

# %%
# The same system (G + λI) x = ∇ℓ by three solvers. `Gram` works on m rows and never forms a matrix of N
# columns.

solutions = {
    type(solver).__name__: solver.solve(ggn, damping=0.01) for solver in (Gram(), Dense(), CG(rtol=1e-7))
}
exact = solutions["Dense"].solution
for name, result in solutions.items():
    distance = float((result.solution - exact).norm() / exact.norm())
    print(f"{name:6} residual {result.residual_norm:.1e}, distance from Dense {distance:.1e}")
