"""
TNGD in a training loop
=======================

`TNGD` takes a model and a loss. Its `step` takes a batch and no closure, since the curvature needs the batch
itself. The device is simulated; its seconds are modelled.
"""

import torch
from sklearn.datasets import load_digits

from tngd_bench.optimizers import NGD, TNGD

images, labels = load_digits(return_X_y=True)
inputs, targets = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
loss = torch.nn.CrossEntropyLoss()


def network():
    """Return the same untrained network at every call."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))


def accuracy(model):
    """Return the share of right answers on the digits that were held out."""
    return float((model(inputs[1400:]).argmax(1) == targets[1400:]).float().mean())


# %%
# Two epochs on the device of the paper, and the same batches with exact natural gradient.

for name, make in {
    "TNGD": lambda model: TNGD(model, loss, lr=0.05, damping=0.01, analog_time=50.0, device="paper"),
    "NGD": lambda model: NGD(model, loss, lr=0.05, damping=0.01),
}.items():
    model = network()
    optimizer = make(model)
    batches = torch.Generator().manual_seed(0)
    for _ in range(2):
        for batch in torch.randperm(1400, generator=batches).split(50):
            value = optimizer.step(inputs[batch], targets[batch])
    print(f"{name:5} loss {value:.3f}, accuracy {accuracy(model):.3f}")
    if name == "TNGD":
        ledger = optimizer.ledger

# %%
# The bill of the device's last iteration, item by item. Most of it is the link.

for item, seconds in ledger.items.items():
    print(f"{item:15} {1e3 * seconds:8.4f} ms")
print(f"{'total':15} {1e3 * ledger.total:8.4f} ms, modelled")
