"""Writes small weights files with `torch.save`, for alexnet-model's tests. Requires torch 2.11.

    python xtask/golden/pth.py
"""

from collections import OrderedDict
from pathlib import Path

import torch

OUT = Path(__file__).resolve().parents[2] / "crates" / "alexnet-model" / "golden"

values = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 8 - 1
weights = OrderedDict(
    weight=values,
    half=values.half(),
    bfloat=values.bfloat16(),
    # A view into another tensor's storage.
    bias=values.flatten()[5:9],
    parameter=torch.nn.Parameter(values[0].clone()),
    transposed=values[1].t(),
    integers=torch.arange(3),
    channels_last=values[None].contiguous(memory_format=torch.channels_last),
)
# As in a module's state_dict().
weights._metadata = OrderedDict({"": {"version": 1}})
torch.save(weights, OUT / "weights.pth")
# As in PyTorch's ImageNet example, which distributes only AlexNet's convolutions and stores an additional tensor.
wrapped = {("module." if name != "bias" else "") + name: tensor for name, tensor in weights.items()}
checkpoint = {"epoch": 3, "arch": "alexnet", "state_dict": wrapped, "best_acc1": torch.tensor(0.5), "optimizer": {}}
torch.save(checkpoint, OUT / "checkpoint.pth")
torch.save({"epoch": 3}, OUT / "empty.pth")
