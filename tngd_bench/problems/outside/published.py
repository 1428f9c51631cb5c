"""Published networks by name, their layers computed from the papers' tables; importing this imports no torch."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tngd_bench import arguments
from tngd_bench.layers import Layer
from tngd_bench.optimizers.network_size import Model


def resnet50(classes: int = 1000) -> Model:
    """ResNet-50 on 224 × 224 pixels: He et al. 2016, table 1, with the strides in the 3 × 3 kernels (version 1.5)."""
    kernels = [Layer(3 * 7**2, 64, 112**2, bias=False)]
    side, inputs = 56, 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            first = block == 0
            after = side // 2 if first and width > 64 else side
            shapes = [(inputs, width, side), (9 * width, width, after), (width, 4 * width, after)]
            shapes += [(inputs, 4 * width, after)] if first else []
            kernels += [Layer(d_in, d_out, pixels**2, bias=False) for d_in, d_out, pixels in shapes]
            side, inputs = after, 4 * width
    norms = [Layer(0, 2 * kernel.d_out) for kernel in kernels]
    layers = (*kernels, *norms, Layer(inputs, classes))
    total = sum(layer.parameters for layer in layers)
    return Model(total, layers, "ResNet-50 on 224 × 224 pixels", outputs=classes, batch_statistics=True)


def gpt2(tokens: int = 1024) -> Model:
    """GPT-2 small on sequences of `tokens`: Radford et al. 2019, table 2; its head is the table of tokens."""
    width, blocks, vocabulary, longest = 768, 12, 50_257, 1024
    block = [
        Layer(width, 3 * width, tokens),
        Layer(width, tokens, tokens, trained=False, bias=False, of_values=True),  # queries against keys
        Layer(tokens, width, tokens, trained=False, bias=False, of_values=True),  # weights against values
        Layer(width, width, tokens),
        Layer(width, 4 * width, tokens),
        Layer(4 * width, width, tokens),
    ]
    norms = Layer(0, 2 * width * (2 * blocks + 1))
    layers = (*block * blocks, norms, Layer(width, vocabulary, tokens, bias=False))
    total = sum(layer.parameters for layer in layers) + longest * width
    return Model(total, layers, f"GPT-2 small on {tokens:,} tokens", outputs=vocabulary * tokens)


MODELS: Mapping[str, Callable[[], Model]] = MappingProxyType({"gpt2": gpt2, "resnet50": resnet50})


def published(name: str) -> Model:
    """Return the network called `name`; ValueError with a suggestion when there is none."""
    return MODELS[arguments.choice("model", name, MODELS)]()
