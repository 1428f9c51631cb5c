"""Thermodynamic K-FAC: Kronecker factors on the simulated analog device, which returns the update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tngd_bench.curvature.kronecker.factors import KroneckerFactors
from tngd_bench.curvature.kronecker.linear_maps import RowProduct
from tngd_bench.curvature.losses import Loss
from tngd_bench.curvature.model_call import Inputs
from tngd_bench.layers import Layer
from tngd_bench.optimizers.kfac.map_tracer import MapPass
from tngd_bench.optimizers.kfac.optimizer import KFAC
from tngd_bench.optimizers.settings import check_settings
from tngd_bench.optimizers.tkfac.entry import ANALOG, described_device
from tngd_bench.optimizers.tngd.entry import without_device
from tngd_bench.optimizers.tngd.step_errors import ending_step
from tngd_bench.solvers.refinement import refined
from tngd_bench.spu.device import Device
from tngd_bench.spu.dynamics.route import refuse_beyond_symmetric
from tngd_bench.spu.kronecker.billing import FactorShape, KroneckerWorkload, latency
from tngd_bench.spu.kronecker.pair import KroneckerPair, is_linear
from tngd_bench.spu.kronecker.symmetric_array import REMEDY
from tngd_bench.spu.ledger import Ledger


class TKFAC(KFAC):
    """K-FAC whose device relaxes under each damped factor in turn, in place of multiplying by its inverse.

    Our reconstruction of what the abstract of arXiv 2502.08603 describes; the rest of that paper was not read.

    Parameters
    ----------
    *positional : float
        lr, damping and momentum.
    analog_time : float
        t > 0 of each relaxation, units of τ; all start at zero. A long one without noise is K-FAC with π-damping, a
        short one t² times the gradient where the diagonal is not scaled.
    copies : int
        Arrays that hold each factor and take its right-hand sides in turn.
    refinements : int
        Rounds X ← X + X̂(∇W − Γ′ X A′) with the factors as loaded, two passes each, whose products are the host's.
    device : str or Device
        Preset name or description; its imperfections act on x (`route.ON_SYMMETRIC_ARRAYS`, others are refused), its
        link, converters and τ make `ledger`.
    noise_variance : float
        κ₀ of the device, signal²; thermal noise comes on top.
    unit_diagonal : bool
        Scale each factor to a unit diagonal before it is loaded, and the signals with it.
    **kfac : Any
        As in `KFAC`, all but `inverse`. Arrays are written at `inverse_interval`. `generator` draws the device's noise
        and programming errors too.

    Notes
    -----
    After a step `ledger` is the device's modelled seconds of an iteration, the mean of those between two refreshes,
    and `residuals` the largest ‖∇W − Γ′ X A′‖/‖∇W‖ of a layer before and after each refinement. A step raises
    UnstableStepError where an array as programmed is not positive definite and DivergingStepError where refinements do
    not converge, both a DivergedError, with the parameters untouched.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        *positional: float,
        analog_time: float = 50.0,
        copies: int = 1,
        refinements: int = 0,
        device: str | Device = "paper",
        noise_variance: float = 0.0,
        unit_diagonal: bool = False,
        **kfac: Any,
    ) -> None:
        if "inverse" in kfac:
            raise TypeError("inverse is no setting of TKFAC: the device inverts")
        check_settings(
            ANALOG,
            analog_time=analog_time,
            copies=copies,
            refinements=refinements,
            noise_variance=noise_variance,
            unit_diagonal=unit_diagonal,
        )
        self.device = Device.of(device)
        refuse_beyond_symmetric(self.device)
        super().__init__(model, loss, *positional, **kfac)
        self.analog_time = analog_time
        self.copies = copies
        self.refinements = refinements
        self.residuals: tuple[float, ...] = ()
        self.noise_variance = noise_variance
        self.unit_diagonal = unit_diagonal
        self.pairs: dict[str, KroneckerPair] = {}

    @property
    def ledger(self) -> Ledger | None:
        """Modelled seconds of an iteration on the device; None before the first."""
        return self._bill(known=True) if self.pairs else None

    def bill(self, rows: int, batch_size: int, layers: tuple[Layer, ...] | None = None) -> Ledger:
        """Modelled seconds of an iteration, without making one; it depends on no batch, only on the factors.

        Raises ValueError before the first factors, and where the bill depends on what a simulation finds.
        """
        if self.device.bill_needs_simulation:
            raise ValueError(
                "the bill of a device with conductance_max_siemens depends on the scale that its arrays take: "
                "make a step and read `ledger`"
            )
        if not self.factors:
            raise ValueError("the bill depends on the model's factors: make a step or a host_pass first")
        return self._bill(known=False)

    def host_pass(self, inputs: Inputs, targets: Tensor) -> None:
        """Do the digital part of the iteration that `iteration` counts: gradient, and factors where they are due.

        For timing and counting; it changes the running averages of the factors and nothing else.
        """
        for one in self._gradients(inputs, targets)[1]:
            gradient = one.gradient  # which the device takes whole, not as the rows it is made of
            factors = self.factors[one.map.names[0]]
            for _ in range(self.refinements):
                factors.outputs @ gradient @ factors.inputs

    def _bill(self, *, known: bool) -> Ledger:
        factors = tuple(
            FactorShape(len(one.inputs), len(one.outputs), self.pairs[name].scales if known else (1.0, 1.0))
            for name, one in self.factors.items()
        )
        return latency(
            self.device,
            KroneckerWorkload(
                factors, self.analog_time, self.copies, self.inverse_interval, known, self.refinements
            ),
        )

    def _direction(self, inputs: Inputs, targets: Tensor) -> tuple[float, Tensor]:
        self.residuals = ()
        with ending_step(self.iteration, REMEDY):
            return super()._direction(inputs, targets)

    def _invert(self, name: str, factors: KroneckerFactors) -> None:
        of_inputs, of_outputs = factors.shifts(self.settings["damping"])
        pair = self.pairs[name] = KroneckerPair.program(
            (factors.inputs, of_inputs),
            (factors.outputs, of_outputs),
            self.analog_time,
            self.device,
            copies=self.copies,
            place=list(self.factors).index(name),
            generator=self.generator,
            keep=self.refinements > 0,
            noise_variance=self.noise_variance,
            unit_diagonal=self.unit_diagonal,
        )
        factors.left, factors.right = pair.outputs[0].matrix, pair.inputs[0].matrix

    def _preconditioned(self, one: MapPass) -> tuple[RowProduct, Tensor]:
        pair = self.pairs[one.map.names[0]]
        if pair.is_deterministic and is_linear(self.device) and not self.refinements:
            return super()._preconditioned(one)
        if one.rows is not None and pair.takes_rows(self.device) and not self.refinements:
            inputs, cotangents = one.rows
            x = pair.solve_product(cotangents, inputs, self.device, self.generator)
            return RowProduct(None, x), ((cotangents @ x) * inputs).sum()
        gradient = one.gradient

        def answer(residual: Tensor) -> Tensor:
            return pair.solve(residual, self.device, self.generator)

        x = answer(gradient)
        if self.refinements:
            varies = not (pair.is_noiseless and is_linear(self.device))
            x, found = refined(x, gradient, pair.product, answer, self.refinements, varies=varies)
            self.residuals = tuple(map(max, found, self.residuals)) if self.residuals else found
        return RowProduct(None, x), (x * gradient).sum()

    def _carried(self) -> dict[str, Any]:
        return {**super()._carried(), "pairs": {name: pair.state() for name, pair in self.pairs.items()}}

    def _restore(self, carried: Mapping[str, Any]) -> None:
        super()._restore(carried)
        self.pairs = {name: KroneckerPair.from_state(state) for name, state in carried["pairs"].items()}


def make_tkfac(
    model: nn.Module, loss: nn.Module, *, generator: torch.Generator | None, **settings: Any
) -> TKFAC:
    """Make TKFAC from a study's settings, fields of its device among them."""
    return TKFAC(
        model, loss, device=described_device(settings), generator=generator, **without_device(settings)
    )
