"""mnist-mlp3: a perceptron with three equal hidden layers on MNIST, for sizes up to 10⁸ parameters and beyond.

With most of its weights in square layers its Kronecker factors hold about as many values as its weights, so that K-FAC
still fits where one wide layer's factors would not.
"""

import dataclasses
from functools import partial

from tngd_bench.problems import mnist_mlp
from tngd_bench.problems.widths import three_equal_hidden

ENTRY = dataclasses.replace(
    mnist_mlp.ENTRY,
    name="mnist-mlp3",
    title="MNIST, MLP with three equal hidden layers",
    summary="three hidden layers of one width on 784 pixels in [0, 1]; 60,000 + 10,000 images",
    search=partial(three_equal_hidden, 784),
)
