"""The autograd graph under a model's output: the operations that use a parameter or a layer's output."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from tngd_bench.curvature.parameters import TrainableParameters

Use = tuple[Any, int]
"""A node of the graph and which of its arguments is meant."""


class AutogradGraph:
    """One walk over the graph under `outputs`, or of its part above the nodes `ends`.

    `nodes` are the operations in the order of the walk, `names` what they are called, `places` what those that take a
    part of a tensor take: two batches with the same names and places, and the same shapes, were computed in the same
    way, unless `reorders`.
    """

    def __init__(self, outputs: Tensor, ends: Iterable[Any] = ()) -> None:
        self._users: dict[int, list[Use]] = defaultdict(list)
        self._consumers: dict[Any, list[Use]] = defaultdict(list)
        root = outputs.grad_fn
        pending = [root] if root is not None else []
        self._nodes: set[Any] = {*ends, *pending}  # held, so that a node keeps its identity
        self.nodes: list[Any] = []
        names: list[str] = []
        places: list[Any] = []
        while pending:
            node = pending.pop()
            self.nodes.append(node)
            names.append(node.name())
            places += [getattr(node, key) for key in PLACES.get(names[-1], ())]
            for argument, (following, part) in enumerate(node.next_functions):
                if following is None:
                    continue
                if part:
                    places.append(part)
                variable = getattr(following, "variable", None)
                if variable is not None:
                    self._users[id(variable)].append((node, argument))
                    continue
                self._consumers[following].append((node, argument))
                if following not in self._nodes:
                    self._nodes.add(following)
                    pending.append(following)
        self.names, self.places = tuple(names), tuple(places)

    def __contains__(self, node: object) -> bool:
        """Whether the outputs depend on this node."""
        return node in self._nodes

    def users(self, parameter: Tensor) -> list[Use]:
        """The operations that take this parameter itself, one entry an argument."""
        return self._users[id(parameter)]

    def consumers(self, node: Any) -> list[Use]:
        """The operations that take this node's output, one entry an argument."""
        return self._consumers[node]

    def only_consumer(self, node: Any) -> Any | None:
        """The one operation that takes this node's output, or None when there are several or none."""
        consumers = self._consumers[node]
        return consumers[0][0] if len(consumers) == 1 else None

    @property
    def reorders(self) -> bool:
        """Whether an operation may treat samples differently from batch to batch: indexing, sorting, unknown ones."""
        return any(
            name.rstrip("0123456789").removesuffix("Backward") not in FIXED for name in set(self.names)
        )


def refuse_other_paths(loss: Tensor, outputs: Tensor, parameters: TrainableParameters) -> None:
    """Raise ValueError where a loss depends on parameters other than through the outputs, which JᵀHJ knows alone."""
    graph = AutogradGraph(loss, (outputs.grad_fn,))
    named = zip(parameters.names, parameters.tensors, strict=True)
    found = [name for name, p in named if graph.users(p)]
    if found:
        raise ValueError(
            "the loss must depend on the model through its outputs alone, and it uses "
            f"{', '.join(map(repr, found[:3]))}{' …' * (len(found) > 3)} besides (weight decay, or a penalty of hidden "
            "layers): leave that term out, or return what it is computed from as outputs"
        )


PLACES = {
    "SelectBackward0": ("_saved_dim", "_saved_index"),
    "SliceBackward0": ("_saved_dim", "_saved_start", "_saved_end", "_saved_step"),
    "TransposeBackward0": ("_saved_dim0", "_saved_dim1"),
    "PermuteBackward0": ("_saved_dims",),
}
"""Arguments of operations that may treat samples in another order without another shape."""
FIXED = frozenset(
    """
    Abs AccumulateGrad AdaptiveAvgPool2D AdaptiveAvgPool3D Add Addbmm Addcdiv Addcmul Addmm Alias AsStrided Atan
    AvgPool2D AvgPool3D Baddbmm Bmm Cat Clamp ClampMin ClampMax Clone ConstantPadNd Convolution Cos Cumsum Div Elu
    Embedding Erf Exp Expand Gelu Glu Hardsigmoid Hardswish Hardtanh LeakyRelu Log Log1P LogSigmoid LogSoftmax Logsumexp
    MaskedFill Maximum MaxPool2DWithIndices MaxPool3DWithIndices Mean Minimum Mish Mm Mul NativeDropout NativeGroupNorm
    NativeLayerNorm NativeBatchNorm Neg Norm Permute Pow Prelu PreluKernel ReflectionPad1D ReflectionPad2D
    ReplicationPad1D ReplicationPad2D Relu Repeat ReshapeAlias Rsqrt Rsub ScaledDotProductEfficientAttention
    ScaledDotProductFlashAttention ScaledDotProductFlashAttentionForCpu Select Selu Sigmoid Silu Sin Slice Softmax
    Softplus Split SplitWithSizes Sqrt Squeeze Stack Std Sub Sum T Tan Tanh ToCopy Transpose Unbind Unfold UnsafeSplit
    UnsafeView Unsqueeze UpsampleBilinear2D UpsampleNearest2D Var VarMean View Where
    TanhBackward SigmoidBackward SoftplusBackward GeluBackward SiluBackward EluBackward SoftmaxBackwardData
    ThresholdBackward ConvolutionBackward NativeLayerNormBackward
    """.split()  # noqa: SIM905  (a list would take two hundred lines)
)
"""Operations that do the same to every batch of one shape."""
