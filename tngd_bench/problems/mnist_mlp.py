"""mnist-mlp: a multilayer perceptron on MNIST."""

from functools import partial

from tngd_bench.problems.images import image_problem
from tngd_bench.problems.widths import two_hidden

ENTRY = image_problem(
    name="mnist-mlp",
    title="MNIST, MLP",
    summary="two hidden layers of near-equal width on 784 pixels in [0, 1]; 60,000 + 10,000 images",
    data_source="MNIST (LeCun, Cortes, Burges), fetched on first use",
    dataset="mnist",
    shape=(784,),
    search=partial(two_hidden, 784),
)
