"""digits-mlp: a multilayer perceptron on scikit-learn's 8×8 handwritten digits, which need no download."""

from functools import partial

from tngd_bench.problems.images import image_problem
from tngd_bench.problems.widths import two_hidden

ENTRY = image_problem(
    name="digits-mlp",
    title="Digits 8×8, MLP",
    summary="two hidden layers of near-equal width on 64 pixels in [0, 1]; 1,437 + 360 images",
    data_source="scikit-learn load_digits (UCI optical recognition of handwritten digits), inside its wheel",
    dataset="digits",
    shape=(64,),
    search=partial(two_hidden, 64),
)
