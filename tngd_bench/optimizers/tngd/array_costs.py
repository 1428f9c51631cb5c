"""Cost of simulating a device with programmed arrays, beside the work of its host.

The arrays hold m·N values each, drawn anew at every step. One array for J and Jᵀ, with nothing between them that errs,
is a factor like any other, as a matrix; where its cells err by programming alone, only their law is drawn. Else the law
of the m rows is made by a Taylor series and doublings in double precision (`spu.dynamics.network`). Rails and capacitor
mismatch, which are stepped in time, are taken as the same.
"""

from dataclasses import dataclass

from tngd_bench.layers import panelled
from tngd_bench.optimizers.iteration import Iteration
from tngd_bench.spu.device import Device
from tngd_bench.spu.dynamics.route import device_route, drawn_in_law, is_one_factor

DOUBLE = 2.0
"""Operations in single precision in the time of one in double."""
TAYLOR_ORDER, DOUBLINGS = 14, 10
"""Of a propagator; doublings at t = 50 τ and a largest rate of a few 1/τ."""
MODES = 300.0
"""Operations per m³ in the time that the eigenvalues of a matrix that is not symmetric take."""
SERIES, SERIES_NOISY = (6.0, 32.0), (14.0, 68.0)
DOUBLED, DOUBLED_NOISY = (6.0, 32.0), (20.0, 96.0)
"""Operations per m³ of a term of the series and of a doubling, without and with noise; without and with a lag."""
STAGES = 240.0
"""Operations per k³ for the propagator of a circuit of k states: two exponentials of 2k rows, and the doublings."""


DRAWN = 4.0
"""Operations per m³ of forming K from a factor (m, 2m), and those of a product with that factor over those with K."""
ROOT = 0.95
"""Operations per m³ of a pivoted root of K in panels; 0.9 to 1.3 were counted at m = 130 to 1,280."""


@dataclass(frozen=True)
class ArrayCost:
    """Of one step: `flops` and numbers `held` beside the host's pass, and the `values` that are drawn.

    `spectral`: the functions of K that a relaxation takes are not among the operations. `formed`: the values of B that
    are written out, none where the arrays are drawn by their law.
    """

    flops: float
    held: float
    values: float
    formed: float
    spectral: bool = False

    @property
    def product(self) -> float:
        """Operations per m² of a product with K: as its factor (m, 2m) where only its law is drawn."""
        return 2.0 if self.formed else 2.0 * DRAWN


def array_cost(it: Iteration, device: Device, ensemble: int = 1) -> ArrayCost:
    """Return what a step takes on the arrays of `device`, for one of `ensemble` programmings."""
    m, cells = float(it.rows), float(it.rows) * it.parameters
    if drawn_in_law(device, it.rows, it.parameters, ensemble):
        starts = 3 if device.thermal_variance > 0 else 2
        products = (2 * starts + 1) * (it.lift + m * m) + 4.0 * (starts + 1) * m * m
        cubic = ROOT + it.takes_eigenvectors * DRAWN * panelled(it.rows)
        flops = it.forming - it.written + products + cubic * m**3
        return ArrayCost(
            flops, 12.0 * m * m + 4.0 * it.parameters, 2.0 * (m * m + it.parameters), 0.0, spectral=True
        )
    if is_one_factor(device, ensemble) and not device.row_sum_noise:
        return ArrayCost(
            2.0 * m * cells * panelled(it.rows) + 8.0 * cells, 6.0 * cells, cells, cells, spectral=True
        )
    number = 1.0 if device.shared_array else 2.0
    if device_route(device, ensemble).name == "stages":
        states = 2.0 * it.parameters + (2.0 if device.hessian_array else 1.0) * m
        flops = (DOUBLE * STAGES + MODES) * states**3
        return ArrayCost(flops, (3.0 + 3.0 * number) * cells + 60.0 * states**2, number * cells, cells)
    noisy = device.thermal_variance > 0 or device.row_sum_noise or bool(device.amplifier_noise_v_per_rthz)
    lagging = int(device.amplifier_bandwidth_hz is not None)
    series = (SERIES_NOISY if noisy else SERIES)[lagging] * TAYLOR_ORDER
    doublings = (DOUBLED_NOISY if noisy else DOUBLED)[lagging] * DOUBLINGS
    grams = (2.0 if noisy else 1.0) * 2.0 * m * cells
    flops = DOUBLE * (grams + (series + doublings) * m**3) + (1.0 + 7.0 * lagging) * MODES * m**3
    return ArrayCost(flops, (3.0 + 3.0 * number) * cells + 100.0 * m * m, number * cells, cells)
