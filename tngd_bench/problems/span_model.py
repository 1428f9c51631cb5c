"""An adapted encoder that points at the first and the last token of an answer."""

import importlib

import torch
from torch import Tensor, nn

from tngd_bench.datasets.encoders import ATTENTION_LAYERS, encoder_shape, require_extra, span_network


class SpanModel(nn.Module):
    """Logits (b, T, 2) for tokens (b, T): is this the first, is this the last token of the answer.

    Only the adapters and the span head are trained. `nn.CrossEntropyLoss` takes the outputs with targets (b, 2): the
    positions are its classes, and it is the mean of the two ends' losses.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Return the logits; attention_mask (b, T) is 1 for tokens and 0 for padding."""
        kinds = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        dtype = next(self.network.parameters()).dtype
        # Additive and four-dimensional: the two-dimensional mask is taken apart in ways that vmap cannot follow.
        barred = (1.0 - attention_mask.to(dtype)) * torch.finfo(dtype).min
        length = input_ids.shape[1]
        mask = barred[:, None, None, :].expand(-1, 1, length, length)
        found = self.network(input_ids=input_ids, attention_mask=mask, **kinds)
        return torch.stack([found.start_logits, found.end_logits], -1)


def build_span_model(encoder: str, rank: int, alpha: float, dropout: float) -> SpanModel:
    """Return the model in training mode; adapters and head are drawn from torch's global generator.

    Adapters start with B = 0, so that A has no gradient at the first step; the dropout of the encoder itself stays as
    its configuration says.
    """
    require_extra()
    peft = importlib.import_module("peft")
    network = span_network(encoder)
    network.requires_grad_(False)
    head = network.qa_outputs
    assert isinstance(head, nn.Linear)
    targets = list(ATTENTION_LAYERS[encoder_shape(encoder).architecture])
    config = peft.LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets, bias="none"
    )
    adapted: nn.Module = peft.inject_adapter_in_model(config, network)
    head.reset_parameters()
    head.requires_grad_(True)
    return SpanModel(adapted).train()
