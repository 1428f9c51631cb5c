"""fashion-cnn: the network of mnist-cnn on Fashion-MNIST, a harder task of the same shape."""

from tngd_bench.problems.mnist_cnn import cnn_problem

ENTRY = cnn_problem(
    "fashion_mnist",
    name="fashion-cnn",
    title="Fashion-MNIST, CNN",
    data_source="Fashion-MNIST (Zalando Research, MIT licence), fetched on first use",
)
