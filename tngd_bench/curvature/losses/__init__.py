"""Curvature of the loss with respect to the model's outputs.

For a loss ℓ = mean_n L(z_n, y_n) each class here holds, for one batch, the block-diagonal Hessian H = ∂²ℓ/∂z² (the
1/b of the mean included), a factor S with H = S Sᵀ, and weights w with S w = ∂ℓ/∂z. Torch's own cross-entropy, squared
error and binary cross-entropy are in closed form: differentiating log-softmax twice costs memory quadratic in the
classes. Any other callable is differentiated. Source: arXiv 2405.13817 §3 and the exponential-family identities for
the GGN.
"""

from tngd_bench.curvature.losses.closed_forms import output_curvature
from tngd_bench.curvature.losses.evaluation import PerSampleLoss, evaluate
from tngd_bench.curvature.losses.interface import Loss, OutputCurvature, factor_columns

__all__ = ["Loss", "OutputCurvature", "PerSampleLoss", "evaluate", "factor_columns", "output_curvature"]
