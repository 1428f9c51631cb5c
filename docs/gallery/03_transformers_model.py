"""
A Hugging Face model
====================

Inputs may be tensors by name, and outputs an object with `logits`: a model of the package `transformers`
needs no wrapper. Here a small untrained vision transformer reads the digits as 16 patches. Where
`transformers` is not installed, this example is printed and not run.
"""

import torch
from sklearn.datasets import load_digits
from transformers import ViTConfig, ViTForImageClassification

from tngd_bench.curvature import GGN
from tngd_bench.optimizers import NGD

images, labels = load_digits(return_X_y=True)
pixels, targets = torch.tensor(images / 16, dtype=torch.float32).view(-1, 1, 8, 8), torch.tensor(labels)

torch.manual_seed(0)
model = ViTForImageClassification(
    ViTConfig(
        image_size=8,
        patch_size=2,
        num_channels=1,
        num_labels=10,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
)
ggn = GGN(model, torch.nn.CrossEntropyLoss(), {"pixel_values": pixels[:32]}, targets[:32])
print(f"N = {ggn.size}, m = {ggn.rows}")
print(
    "verified against autograd; modules whose rows come from a slower source:", list(ggn.fallbacks) or "none"
)

# %%
# Exact natural gradient with a memory of its last direction (SPRING) trains it.

optimizer = NGD(model, torch.nn.CrossEntropyLoss(), lr=0.1, damping=0.01, memory=0.9)
generator = torch.Generator().manual_seed(0)
losses = []
for batch in torch.randperm(1400, generator=generator).split(50):
    losses.append(optimizer.step({"pixel_values": pixels[batch]}, targets[batch]))
print(f"loss {losses[0]:.3f} → {losses[-1]:.3f} in {len(losses)} steps")
