"""The generalized Gauss-Newton matrix of one batch, G = Jᵀ H J = Bᵀ B with B = Sᵀ J, without ever forming J.

One forward pass records what each layer saw; r batched backward passes to the layers' *outputs* give everything else
(the factor and its use: arXiv 2405.13817 §3); no weight gradient is formed.
"""

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor, nn

from tngd_bench.curvature import losses
from tngd_bench.curvature.capture import recording
from tngd_bench.curvature.graph import refuse_other_paths
from tngd_bench.curvature.linearization import Linearization
from tngd_bench.curvature.model_call import (
    Inputs,
    batch_size_of,
    refuse_autocast,
    refuse_mixed_samples,
    refuse_without_values,
    run_model,
    twice_differentiable,
)
from tngd_bench.curvature.operator import InRange, symmetric_product
from tngd_bench.curvature.parameters import TrainableParameters
from tngd_bench.curvature.reverse import reverse_pass
from tngd_bench.curvature.route import Route, product_route
from tngd_bench.curvature.rows.blocks import STREAMED_VALUES, Block, total_width
from tngd_bench.curvature.rows.factor import FactorSource
from tngd_bench.curvature.rows.factor_part import FactorPart
from tngd_bench.curvature.rows.layer_rules import LAYER_KINDS
from tngd_bench.curvature.verification import Fallback, Verification


class GGN:
    """Generalized Gauss-Newton matrix G of `loss(model(inputs), targets)` on one batch, N×N, never formed.

    Parameters
    ----------
    model : Module
        Its output is one tensor (b, …), or an object whose `logits` is one.
    loss : Module or callable
        Mean-reduced `CrossEntropyLoss`, `MSELoss`, `BCEWithLogitsLoss` (closed forms), `PerSampleLoss`, or any
        callable `loss(outputs, targets)` that is a sum or mean of per-sample terms, each convex in the outputs.
    inputs : Tensor, mapping, tuple or list
        A tensor (b, …), a mapping passed as `model(**inputs)`, or a tuple or list passed as `model(*inputs)`.
    targets : Tensor
        What `loss` takes; for a cross-entropy, outputs may be (b, C), (b, C, T) or (b, T, C).
    empirical : bool
        Rows are per-sample gradients over √b (empirical Fisher) instead of those of the loss Hessian.
    verify : bool or Verification
        Compare the factor with one reverse pass of autograd when it is made. Parameters that fail take their rows
        from a slower source, with one `FallbackWarning`, and are listed in `fallbacks`. A `Verification` shares
        schedule and findings between batches; False skips the comparison.
    memory_budget_bytes : int, optional
        Most memory of one piece of work, beyond what is kept. Default: half of what is free now.

    Raises
    ------
    ValueError
        The batch has no per-sample rows (BatchNorm in training mode), or shapes disagree.
    MemoryError
        What must be kept exceeds the free memory.

    Notes
    -----
    Vectors are flat, (N,), over the trainable parameters in `model.parameters()` order, in the model's dtype (float32
    for half-precision models). With r rows per sample the factor B has m = b·r rows, sample first: row n·r + i is
    column i of sample n. Model randomness (dropout) is drawn once, in the forward pass of the constructor, and shared
    by all that follows. The factor and its use: arXiv 2405.13817 §3.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: losses.Loss,
        inputs: Inputs,
        targets: Tensor,
        *,
        empirical: bool = False,
        verify: bool | Verification = True,
        memory_budget_bytes: int | None = None,
    ) -> None:
        if memory_budget_bytes is not None and memory_budget_bytes < 1:
            raise ValueError(
                f"memory_budget_bytes must be >= 1, not {memory_budget_bytes!r}; None: half of what is free"
            )
        self.parameters = TrainableParameters(model)
        refuse_without_values(self.parameters.device)
        refuse_mixed_samples(model)
        refuse_autocast(self.parameters.device)
        with torch.enable_grad(), twice_differentiable(), recording(model, LAYER_KINDS) as calls:
            self._outputs = run_model(model, inputs)
            self.batch_size = batch_size_of(inputs, self._outputs)
            self._loss = losses.evaluate(loss, self._outputs, targets)
        refuse_other_paths(self._loss, self._outputs, self.parameters)
        self._calls = calls
        self._verification = Verification() if verify is True else (verify or None)
        self.loss: Tensor = self._loss.detach()
        self._curvature = losses.output_curvature(
            loss,
            self._outputs.detach().to(self.parameters.curvature_dtype),
            targets,
            empirical=empirical,
            value=self.loss,
        )
        self._source = FactorSource(
            model,
            self.parameters,
            calls,
            self._outputs,
            self._curvature,
            self._verification,
            memory_budget_bytes,
        )
        self.route = self._product_route(None)

    @property
    def size(self) -> int:
        """Number of trainable parameters N."""
        return self.parameters.count

    @property
    def rows_per_sample(self) -> int:
        """Rows of the factor per sample, r: the outputs, or 1 for the empirical Fisher."""
        return self._curvature.rows_per_sample

    @property
    def rows(self) -> int:
        """Rows of the factor, m = b·r."""
        return self.batch_size * self.rows_per_sample

    @property
    def fallbacks(self) -> tuple[Fallback, ...]:
        """Modules whose rule failed verification, for the blocks made so far; their rows are right, and slower."""
        if self._verification is None:
            return ()
        return tuple(dict.fromkeys(self._verification.fallbacks.values()))

    @cached_property
    def matrix_free(self) -> bool:
        """Whether a row per output would cost more than products by J and Jᵀ do: many outputs, or wide layers."""
        return self._product_route(None).name == "model"

    def expect_products(self, count: int) -> None:
        """Choose the `route` of `count` products at most: for few, products by J and Jᵀ may be cheaper than rows."""
        self.route = self._product_route(count)

    def _product_route(self, count: int | None) -> Route:
        layers = [call.layer for call in self._calls]
        return product_route(layers, self.rows_per_sample, self.batch_size, self.size, count)

    @cached_property
    def gradient(self) -> Tensor:
        """∇ℓ, (N,): what `loss.backward()` computes, bit for bit."""
        return self.parameters.flatten(reverse_pass(self._loss, self.parameters.tensors))

    @cached_property
    def gradient_weights(self) -> InRange:
        """∇ℓ = Bᵀ w + q, w (m,), q (N,) or None where the range of Bᵀ holds the whole gradient.

        q is there when a sample's target has a vanishing probability: its curvature is nil, its slope is not.
        """
        w, rest = self._curvature.gradient_weights()
        if rest is None:
            return InRange(w.reshape(-1), None)
        pieces = reverse_pass(self._outputs, self.parameters.tensors, rest.to(self._outputs.dtype))
        return InRange(w.reshape(-1), self.parameters.flatten(pieces))

    @cached_property
    def blocks(self) -> list[Block]:
        """The factor's blocks, one per layer or parameter; rows column first (see `blocks.py`)."""
        return self.column_blocks(0, self.rows_per_sample)

    def check(self) -> None:
        """Build and verify now what products would use."""
        _ = self._linearization if self.matrix_free else self.blocks

    def column_blocks(self, first: int, last: int) -> list[Block]:
        """The blocks for columns `first`…`last` of S alone: a part of B at a time, where all of it is too large."""
        return self._source.blocks(first, last)

    def matvec(self, v: Tensor) -> Tensor:
        """G v for v (N,) or (N, k)."""
        return self._shaped(self._from_rows(self._to_rows(self._flat(v, self.size))), v.dim())

    def factor_matvec(self, v: Tensor) -> Tensor:
        """B v, (m,) for v (N,) or (m, k) for v (N, k)."""
        return self._shaped(self._sample_first(self._to_rows(self._flat(v, self.size))), v.dim())

    def factor_rmatvec(self, u: Tensor) -> Tensor:
        """Bᵀ u, (N,) for u (m,) or (N, k) for u (m, k)."""
        return self._shaped(self._from_rows(self._column_first(self._flat(u, self.rows))), u.dim())

    def gram_matvec(self, u: Tensor) -> Tensor:
        """K u = B Bᵀ u, (m,) for u (m,) or (m, k) for u (m, k); never touches a vector of length N."""
        rows = self._column_first(self._flat(u, self.rows))
        if self._by_linearization:
            return self._shaped(self._sample_first(self._to_rows(self._from_rows(rows))), u.dim())
        products = torch.zeros_like(rows)
        for block in self.blocks:
            products += block.gram_matvec(rows)
        return self._shaped(self._sample_first(products), u.dim())

    def gram(self) -> Tensor:
        """K = B Bᵀ, (m, m)."""
        r, b = self.rows_per_sample, self.batch_size
        gram = self._part("", self.blocks).gram().view(r, b, r, b)
        return gram.permute(1, 0, 3, 2).reshape(self.rows, self.rows)

    @cached_property
    def layers(self) -> tuple[FactorPart, ...]:
        """The factor by layers: B_l has the columns of one module's own parameters; unused ones are in none.

        The rows of a layer are column first (see `blocks.py`), as is what `column_first` makes of a vector (m,).
        """
        names = dict(zip((s.offset for s in self.parameters.slots), self.parameters.names, strict=True))
        owned: dict[str, list[Block]] = {}
        for block in self.blocks:
            owned.setdefault(names[block.slots[0].offset].rpartition(".")[0], []).append(block)
        return tuple(self._part(name, blocks) for name, blocks in owned.items())

    def _part(self, name: str, blocks: list[Block]) -> FactorPart:
        dtype, device = self.parameters.curvature_dtype, self.parameters.device
        return FactorPart(name, blocks, self.batch_size, self.rows_per_sample, dtype, device)

    def factor(self) -> Tensor:
        """B itself, (m, N); for small problems and for methods that need it."""
        factor = self.blank(self.rows)
        target = factor.view(self.batch_size, self.rows_per_sample, self.size)
        for block in self.blocks:
            block.write_rows(target)
        return factor

    def stream_factor(self) -> Iterator[Tensor]:
        """Every value of B once, in cache-sized pieces, for sending on: a piece is overwritten by the next."""
        for block in self.blocks:
            yield from block.stream(STREAMED_VALUES)

    def largest(self) -> float:
        """The largest |value| of B."""
        return max(block.largest() for block in self.blocks)

    def dense(self) -> Tensor:
        """G, (N, N)."""
        return symmetric_product(self.factor().T)

    def column_first(self, u: Tensor) -> Tensor:
        """A vector (m,) in the order of the rows of `layers`."""
        return self._column_first(u.unsqueeze(0))[0]

    def blank(self, vectors: int = 1) -> Tensor:
        """Flat vectors (k, N) for blocks to write to, zero where none does."""
        out = torch.empty(
            vectors, self.size, dtype=self.parameters.curvature_dtype, device=self.parameters.device
        )
        return out if total_width(self.blocks) == self.size else out.zero_()

    def _flat(self, vector: Tensor, length: int) -> Tensor:
        """(length,) or (length, k) → (k, length), refusing anything else."""
        if vector.dim() not in (1, 2) or vector.shape[0] != length:
            raise ValueError(f"expected a vector ({length},) or ({length}, k), not {tuple(vector.shape)}")
        return vector.unsqueeze(0) if vector.dim() == 1 else vector.T.contiguous()

    def _shaped(self, result: Tensor, dims: int) -> Tensor:
        return result[0] if dims == 1 else result.T

    @property
    def _by_linearization(self) -> bool:
        """Whether products go by J and Jᵀ; blocks that are there, for K or the factor, serve products as well."""
        return self.route.name == "model" and "blocks" not in self.__dict__

    @cached_property
    def _linearization(self) -> Linearization:
        linearization = Linearization(self._outputs, self.parameters)
        self._source.check_products(linearization)
        return linearization

    def _to_rows(self, v: Tensor) -> Tensor:
        """B v for (k, N): (k, m), column first."""
        if self._by_linearization:
            dtype = self.parameters.curvature_dtype
            images = [
                self._curvature.factor_matvec(self._linearization.matvec(single).to(dtype)) for single in v
            ]
            return self._column_first(torch.stack(images).flatten(1))
        products = v.new_zeros(v.shape[0], self.rows)
        for block in self.blocks:
            products += block.matvec(v)
        return products

    def _from_rows(self, u: Tensor) -> Tensor:
        """Bᵀ u for (k, m), column first: (k, N)."""
        if self._by_linearization:
            shaped = self._sample_first(u).view(len(u), self.batch_size, -1)
            return torch.stack(
                [self._linearization.rmatvec(self._curvature.factor_rmatvec(single)) for single in shaped]
            )
        out = self.blank(len(u))
        for block in self.blocks:
            block.rmatvec(u, out)
        return out

    def _sample_first(self, u: Tensor) -> Tensor:
        return (
            u.view(-1, self.rows_per_sample, self.batch_size).transpose(1, 2).reshape(u.shape[0], self.rows)
        )

    def _column_first(self, u: Tensor) -> Tensor:
        return (
            u.view(-1, self.batch_size, self.rows_per_sample).transpose(1, 2).reshape(u.shape[0], self.rows)
        )
