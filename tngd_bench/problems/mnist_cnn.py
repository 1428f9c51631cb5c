"""mnist-cnn: one convolution and two linear layers on MNIST, as in the experiments of arXiv 2405.13817."""

from functools import partial

from tngd_bench.problems.entry import ProblemEntry
from tngd_bench.problems.images import image_problem
from tngd_bench.problems.widths import conv_and_hidden

_KERNEL, _POOL = 3, 2


def cnn_problem(dataset: str, **fields: str) -> ProblemEntry:
    """Return the problem of this network on another data set of the same form."""
    return image_problem(
        summary="3×3 convolution, 2×2 pooling, hidden layer on 28×28 images in [0, 1]; the hidden width sets N",
        dataset=dataset,
        shape=(1, 28, 28),
        search=partial(conv_and_hidden, 28, _KERNEL, _POOL),
        network="convolutional",
        sides={"kernel": _KERNEL, "pool": _POOL},
        **fields,
    )


ENTRY = cnn_problem(
    "mnist",
    name="mnist-cnn",
    title="MNIST, CNN",
    data_source="MNIST (LeCun, Cortes, Burges), fetched on first use",
)
