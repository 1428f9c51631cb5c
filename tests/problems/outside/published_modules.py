"""ResNet-50 and GPT-2 small as plain torch modules, written from the papers: what their layer tables are held against.

Also a file of a user: each function returns a model and a batch of its inputs.
"""

import torch
from torch import Tensor, nn


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.path = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = (
            nn.Identity()
            if inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.path(x) + self.shortcut(x))


def resnet50() -> tuple[nn.Module, Tensor]:
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    blocks, inputs = [], 64
    for width, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(count):
            blocks.append(Bottleneck(inputs, width, 2 if block == 0 and width > 64 else 1))
            inputs = 4 * width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000)]
    return nn.Sequential(*stem, *blocks, *head), torch.empty(2, 3, 224, 224)


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, h = x.shape
        parts = self.project(self.before(x)).view(b, t, 3, self.heads, h // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-1, -2)) / (h // self.heads) ** 0.5
        future = torch.ones(t, t, dtype=torch.bool, device=x.device).triu(1)
        mixed = scores.masked_fill(future, float("-inf")).softmax(-1) @ v
        x = x + self.out(mixed.transpose(1, 2).reshape(b, t, h))
        added: Tensor = self.narrow(nn.functional.gelu(self.wide(self.between(x))))
        return x + added


class GPT2(nn.Module):
    def __init__(self, vocabulary: int = 50_257, longest: int = 1024, width: int = 768) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(longest, width)
        self.blocks = nn.Sequential(*(Block(width, 12) for _ in range(12)))
        self.last, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        logits: Tensor = self.head(self.last(self.blocks(self.tokens(tokens) + self.places(places))))
        return logits


def gpt2() -> tuple[nn.Module, Tensor]:
    return GPT2(), torch.zeros(1, 1024, dtype=torch.long)


def norms() -> tuple[nn.Module, Tensor]:
    return nn.LayerNorm(8), torch.empty(2, 8)


def without_inputs() -> nn.Module:
    return nn.Linear(2, 2)


def fails() -> tuple[nn.Module, Tensor]:
    return nn.Linear(2, 2), torch.empty(2, 5)


class Sum(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sum()


def single() -> tuple[nn.Module, Tensor]:
    return Sum(2, 2), torch.empty(2, 2)


def without_parameters() -> tuple[nn.Module, Tensor]:
    return nn.ReLU(), torch.empty(2, 2)


def exits() -> tuple[nn.Module, Tensor]:
    raise SystemExit(5)


def normalised() -> tuple[nn.Module, Tensor]:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), torch.empty(4, 3)


def normalised_by_fixed_statistics() -> tuple[nn.Module, Tensor]:
    return normalised()[0].eval(), torch.empty(4, 3)


NUMBER = 3
