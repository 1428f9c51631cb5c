"""
A device of your own
====================

A `Device` is a frozen description in SI units. Its imperfections change what is read from it; its rates and
prices change what an iteration costs. A price that is not stated is None and never zero.
"""

import torch
from sklearn.datasets import load_digits

from tngd_bench.optimizers import TNGD, DivergedError
from tngd_bench.spu import Device

paper = Device.preset("paper")
board = paper.override(
    name="my-board",
    link_rate_bits_per_s=5e9,
    array_bits=10,
    adc_bits=8,
    cell_write_time_s=1e-6,
)

# %%
# The bill at any size, without a simulation. `latency` is modelled seconds; `energy` has no total, for no
# price is stated.

for device in (paper, board):
    ledger = device.latency(parameters=20_000, rows=640, analog_time=50.0)
    largest = max(ledger.items, key=ledger.items.get)
    print(
        f"{device.name}: {1e3 * ledger.total:.3f} ms, of which {largest} {1e3 * ledger.items[largest]:.3f} ms"
    )
print("energy not stated:", ", ".join(paper.energy(parameters=20_000, rows=640).not_stated))

# %%
# Training on each of them: 10 bits a cell and 8 bits of the converters change little here, the link takes
# its time.

images, labels = load_digits(return_X_y=True)
inputs, targets = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)


def train(device):
    """Train one epoch on a device and print what came out."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    generator = torch.Generator().manual_seed(0)
    optimizer = TNGD(
        model, torch.nn.CrossEntropyLoss(), lr=0.05, damping=0.01, device=device, generator=generator
    )
    try:
        for batch in torch.randperm(1400, generator=torch.Generator().manual_seed(1)).split(50):
            optimizer.step(inputs[batch], targets[batch])
    except DivergedError as error:
        print(f"{device.name}: {error}")
        return
    accuracy = float((model(inputs[1400:]).argmax(1) == targets[1400:]).float().mean())
    print(
        f"{device.name}: accuracy {accuracy:.3f}, {1e3 * optimizer.ledger.total:.3f} ms per iteration (modelled)"
    )


train(paper)
train(board)

# %%
# Cells that are programmed worse make the drift unsymmetric. Where a mode would grow, the step is refused
# and the parameters stay as they were: an unstable device gives no number.

train(board.override(name="badly-programmed", programming_error=0.1))
