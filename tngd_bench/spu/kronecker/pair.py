"""Thermodynamic K-FAC of one layer: X ≈ (Γ′)⁻¹ ∇W (A′)⁻¹ by two passes of relaxations, each exact in time.

Our reconstruction of what the abstract of arXiv 2502.08603 describes; the rest of that paper was not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tngd_bench.spu.device import Device
from tngd_bench.spu.dynamics.route import cells_err
from tngd_bench.spu.kronecker.symmetric_array import SymmetricArray, program


@dataclass(frozen=True)
class KroneckerPair:
    """Arrays of A′ (n_in, n_in) and Γ′ (n_out, n_out): as many of each as copies that hold different values.

    Pass 1 relaxes under A′ for each of the n_out rows of ∇W, pass 2 under Γ′ for each of the n_in columns of what was
    read; copies take the right-hand sides in turn.
    """

    inputs: tuple[SymmetricArray, ...]
    outputs: tuple[SymmetricArray, ...]

    @classmethod
    def program(
        cls,
        inputs: tuple[Tensor, float],
        outputs: tuple[Tensor, float],
        t: float,
        device: Device,
        *,
        copies: int = 1,
        place: int = 0,
        generator: torch.Generator | None = None,
        keep: bool = False,
        **loading: Any,
    ) -> KroneckerPair:
        """Write both factors, each a positive semi-definite matrix and its damping, with all their copies.

        `place` is the layer's among those of the chip; with `keep` the first arrays keep what `product` needs;
        `loading` are further arguments of `symmetric_array.program`.
        """
        different = copies if cells_err(device) else 1

        def written(
            side: int, factor: tuple[Tensor, float], right_hand_sides: int
        ) -> tuple[SymmetricArray, ...]:
            first = (2 * place + side) * copies
            return tuple(
                program(
                    *factor,
                    t,
                    device,
                    generator=generator,
                    place=first + copy,
                    keep=keep and copy == 0,
                    **loading,
                )
                for copy in range(min(different, right_hand_sides))  # one beyond them stays idle
            )

        return cls(written(0, inputs, len(outputs[0])), written(1, outputs, len(inputs[0])))

    def solve(self, gradient: Tensor, device: Device, generator: torch.Generator | None = None) -> Tensor:
        """X (n_out, n_in), read from the device in answer to ∇W (n_out, n_in)."""
        first = _answers(self.inputs, gradient, device, generator, 1)
        return _answers(self.outputs, first, device, generator, 0)

    def solve_product(
        self, cotangents: Tensor, inputs: Tensor, device: Device, generator: torch.Generator | None = None
    ) -> Tensor:
        """The same for ∇W = gᵀa from its few rows g (r, n_out) and a (r, n_in), where `takes_rows`."""
        first = self.inputs[0].answer_product(cotangents, inputs, device, generator)
        return _answers(self.outputs, first, device, generator, 0)

    def takes_rows(self, device: Device) -> bool:
        """Whether pass 1 can answer the rows that ∇W is made of: one array does, and nothing converts ∇W first."""
        return len(self.inputs) == 1 and device.dac_bits is None

    def product(self, x: Tensor) -> Tensor:
        """Γ′ X A′ of the factors as they were to be loaded, (n_out, n_in); they must have been kept."""
        outputs, inputs = self.outputs[0].wanted, self.inputs[0].wanted
        if outputs is None or inputs is None:
            raise ValueError("keep must be true when the pair is programmed, for products by its factors")
        return outputs @ x @ inputs

    @property
    def is_deterministic(self) -> bool:
        """Whether X = L ∇W R with the `matrix` of one array each, converters apart: no noise, and copies alike."""
        return len(self.inputs + self.outputs) == 2 and self.is_noiseless

    @property
    def is_noiseless(self) -> bool:
        """Whether the nodes have no noise; that of converters is apart."""
        return all(array.noise_root is None for array in self.inputs + self.outputs)

    @property
    def scales(self) -> tuple[float, float]:
        """The least scale at which the arrays of A′ and of Γ′ hold them: a relaxation takes t over it."""
        return min(array.scale for array in self.inputs), min(array.scale for array in self.outputs)

    def state(self) -> dict[str, Any]:
        """What the arrays hold, for `state_dict`."""
        return {name: [dict(vars(array)) for array in arrays] for name, arrays in vars(self).items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Sequence[Mapping[str, Any]]]) -> KroneckerPair:
        """A pair from `state()`."""
        sides = {name: tuple(SymmetricArray(**array) for array in arrays) for name, arrays in state.items()}
        return cls(**sides)


def is_linear(device: Device) -> bool:
    """Whether converters leave signals as they are, so that X is linear in ∇W."""
    fields = (device.dac_bits, device.adc_bits, device.adc_range_volts)
    return fields == (None, None, None) and not device.adc_noise_volts


def _answers(
    copies: Sequence[SymmetricArray],
    signals: Tensor,
    device: Device,
    generator: torch.Generator | None,
    dim: int,
) -> Tensor:
    """Answers to the rows (`dim` 1) or columns (0), which the copies take in turn."""
    if len(copies) == 1:
        return copies[0].answer(signals, device, generator, dim)
    found = torch.empty_like(signals)
    for k, array in enumerate(copies):
        own = (slice(k, None, len(copies)), slice(None))[:: 1 if dim else -1]
        found[own] = array.answer(signals[own], device, generator, dim)
    return found
