"""Writes small files as `torch.save` writes weights, for alexnet-model's tests. Needs torch 2.11.

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
    # A part of another tensor's storage.
    bias=values.flatten()[5:9],
    parameter=torch.nn.Parameter(values[0].clone()),
    transposed=values[1].t(),
    integers=torch.arange(3),
    channels_last=values[None].contiguous(memory_format=torch.channels_last),
)
# As state_dict() of a module has it.
weights._metadata = OrderedDict({"": {"version": 1}})
torch.save(weights, OUT / "weights.pth")
# As PyTorch's example for ImageNet does, which distributes AlexNet's convolutions alone, and keeps a tensor beside.
wrapped = {("module." if name != "bias" else "") + name: tensor for name, tensor in weights.items()}
checkpoint = {"epoch": 3, "arch": "alexnet", "state_dict": wrapped, "best_acc1": torch.tensor(0.5), "optimizer": {}}
torch.save(checkpoint, OUT / "checkpoint.pth")
torch.save({"epoch": 3}, OUT / "empty.pth")
