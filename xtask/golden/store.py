"""Writes golden files in the format read by crates/alexnet-testing/src/golden.rs."""

import json
import struct

import numpy as np

from philox import uniform

SAMPLES = 128
SUMS = 2


class Golden:
    """Collects float64 tensors; large ones are stored as samples and inner products with known random vectors."""

    def __init__(self):
        self.tensors = {}

    def put(self, name, tensor):
        values = np.asarray(tensor.detach().double().reshape(-1) if hasattr(tensor, "detach") else tensor, np.float64)
        values = values.reshape(-1)
        if len(values) <= 4 * SAMPLES:
            self.tensors[name] = values
            return
        places = np.arange(SAMPLES, dtype=np.int64) * len(values) // SAMPLES
        self.tensors[f"{name}.samples"] = values[places]
        sums = [np.dot(uniform(name, i, len(values)), values) for i in range(SUMS)]
        self.tensors[f"{name}.sums"] = np.array(sums)
        self.tensors[f"{name}.length"] = np.array([float(len(values))])

    def save(self, path, **metadata):
        """safetensors: eight bytes of header length, a JSON header, the data."""
        header, offset = {"__metadata__": {k: str(v) for k, v in metadata.items()}}, 0
        for name in sorted(self.tensors):
            size = self.tensors[name].nbytes
            shape = list(self.tensors[name].shape)
            header[name] = {"dtype": "F64", "shape": shape, "data_offsets": [offset, offset + size]}
            offset += size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name in sorted(self.tensors):
                file.write(self.tensors[name].tobytes())
