"""PyTorch's results, in float64, for the cases of crates/alexnet-kernels/golden/cases.json.

    python xtask/golden/kernels.py [FILE ...]        # kernels with torch 2.11, more_kernels with torch 2.15

Without arguments, it writes both files. The last digits of sums depend on the machine, so new operations are added to the
second file, and the bytes of the first stay unchanged.
"""

import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

from philox import seed_of, uniform, words
from store import Golden

FOLDER = pathlib.Path(__file__).parents[2] / "crates/alexnet-kernels/golden"


def leaf(name, index, shape, scale=1.0):
    return (torch.from_numpy(uniform(name, index, shape)) * scale).requires_grad_()


def put(golden, op, case, y, inputs):
    """Stores y and the gradients of the inputs, with input number 9 as the upstream gradient."""
    grad_y = torch.from_numpy(uniform(case["name"], 9, y.shape))
    grads = torch.autograd.grad(y, list(inputs.values()), grad_y)
    golden.put(f"{op}/{case['name']}/y", y)
    for name, grad in zip(inputs, grads):
        golden.put(f"{op}/{case['name']}/grad_{name}", grad)


def conv2d(golden, case):
    name, (n, c, h, w), (kh, kw) = case["name"], case["x"], case["kernel"]
    x = leaf(name, 0, case["x"])
    weight = leaf(name, 1, (case["out"], c // case["groups"], kh, kw))
    bias = leaf(name, 2, (case["out"],)) if case["bias"] else None
    top, bottom, left, right = case["padding"]
    y = F.conv2d(F.pad(x, (left, right, top, bottom)), weight, bias, case["stride"], 0, 1, case["groups"])
    inputs = {"x": x, "weight": weight} | ({"bias": bias} if case["bias"] else {})
    put(golden, "conv2d", case, y, inputs)


def quantized(name, case):
    """Few different values, so that windows contain equal maxima."""
    x = torch.from_numpy(uniform(name, 0, case["x"]))
    if "levels" in case:
        x = torch.floor(x * case["levels"]) / case["levels"]
    return x.requires_grad_()


def max_pool2d(golden, case):
    x = quantized(case["name"], case)
    y = F.max_pool2d(x, case["kernel"], case["stride"], case["padding"], ceil_mode=case["ceil"])
    put(golden, "max_pool2d", case, y, {"x": x})


def avg_pool2d(golden, case):
    x = leaf(case["name"], 0, case["x"])
    y = F.avg_pool2d(x, case["kernel"], case["stride"], case["padding"], case["ceil"], count_include_pad=False)
    put(golden, "avg_pool2d", case, y, {"x": x})


def lrn(golden, case):
    x = leaf(case["name"], 0, case["x"], case["scale"])
    parts = [F.local_response_norm(p, case["size"], case["alpha"], case["beta"], case["k"]) for p in x.chunk(case["groups"], 1)]
    put(golden, "lrn", case, torch.cat(parts, 1), {"x": x})


def lrn_within_channel(golden, case):
    x, size = leaf(case["name"], 0, case["x"], case["scale"]), case["size"]
    mean = F.avg_pool2d(x * x, size, 1, size // 2, count_include_pad=True)
    # A former name, on which the sums in the golden file depend.
    put(golden, "lrn_same_map", case, x / (case["k"] + case["alpha"] * mean) ** case["beta"], {"x": x})


def linear(golden, case):
    name = case["name"]
    x, weight = leaf(name, 0, (case["n"], case["in"])), leaf(name, 1, (case["out"], case["in"]))
    bias = leaf(name, 2, (case["out"],)) if case["bias"] else None
    inputs = {"x": x, "weight": weight} | ({"bias": bias} if case["bias"] else {})
    put(golden, "linear", case, F.linear(x, weight, bias), inputs)


def bias_relu(golden, case):
    x, bias = leaf(case["name"], 0, case["x"]), leaf(case["name"], 2, (case["x"][1],))
    y = F.relu(x + bias.reshape(1, -1, *[1] * (x.ndim - 2)))
    put(golden, "bias_relu", case, y, {"x": x, "bias": bias})


def activation(golden, case):
    functions = {"relu": F.relu, "tanh": torch.tanh, "logistic": torch.sigmoid, "softrelu": F.softplus}
    x = leaf(case["name"], 0, case["x"], case["scale"])
    # By default, softplus is linear above 20; the 2012 activation is not.
    y = F.softplus(x, threshold=1e9) if case["name"] == "softrelu" else functions[case["name"]](x)
    put(golden, "activation", case, y, {"x": x})


def softmax_cross_entropy(golden, case):
    name = case["name"]
    logits = leaf(name, 0, (case["n"], case["classes"]), case["scale"])
    labels = torch.from_numpy((words(seed_of(name), 5, 0, 1, case["n"]) % case["classes"]).astype("int64"))
    losses = F.cross_entropy(logits, labels, reduction="none")
    golden.put(f"softmax_cross_entropy/{name}/losses", losses)
    golden.put(f"softmax_cross_entropy/{name}/grad_logits", torch.autograd.grad(losses.mean(), logits)[0])
    # Labels mixed with those of neighboring rows, and smoothed.
    target = F.one_hot(labels, case["classes"]).to(logits.dtype)
    mixed = F.cross_entropy(logits, 0.3 * target + 0.7 * target.roll(1, 0), reduction="none", label_smoothing=0.1)
    golden.put(f"softmax_cross_entropy/{name}/mixed_losses", mixed)
    golden.put(f"softmax_cross_entropy/{name}/mixed_grad_logits", torch.autograd.grad(mixed.mean(), logits)[0])


def batch_norm2d(golden, case):
    name, channels = case["name"], case["x"][1]
    # Rounded to float32 as in the tests: near 1000, the rounding exceeds their tolerance.
    x = np.float32(uniform(name, 0, case["x"])) * np.float32(case["scale"]) + np.float32(case["offset"])
    x = torch.from_numpy(x).double().requires_grad_()
    weight, bias = leaf(name, 1, (channels,)), leaf(name, 2, (channels,))
    mean = torch.from_numpy(uniform(name, 3, (channels,)))
    variance = torch.from_numpy(uniform(name, 4, (channels,))).abs() + 0.5
    y = F.batch_norm(x, mean, variance, weight, bias, case["training"], case["momentum"], case["eps"])
    put(golden, "batch_norm2d", case, y, {"x": x, "weight": weight, "bias": bias})
    golden.put(f"batch_norm2d/{name}/running_mean", mean)
    golden.put(f"batch_norm2d/{name}/running_variance", variance)


def more_activations(golden, case):
    functions = {
        "abs": torch.abs, "square": torch.square, "sqrt": torch.sqrt, "bounded relu": lambda x: F.hardtanh(x, 0, 1.5),
        "scaled tanh": lambda x: 1.7159 * torch.tanh(x * 2 / 3), "falling scaled tanh": lambda x: -0.5 * torch.tanh(3 * x),
        "linear": lambda x: -0.75 * x + 2.5,
    }
    x = leaf(case["name"], 0, case["x"], case["scale"])
    if case["name"] == "sqrt":
        x = (x.abs() + 0.125).detach().requires_grad_()
    put(golden, "more_activations", case, functions[case["name"]](x), {"x": x})


def contrast_norm(golden, case):
    x, size = leaf(case["name"], 0, case["x"], case["scale"]), case["size"]
    before, after = size // 2, size - 1 - size // 2

    def sums(values):
        return F.avg_pool2d(F.pad(values, (before, after, before, after)), size, 1, divisor_override=1)

    deviations = x - sums(x) / sums(torch.ones_like(x))
    y = x / (1 + case["alpha"] / size**2 * sums(deviations**2)) ** case["beta"]
    put(golden, "contrast_norm", case, y, {"x": x})


def locally_connected2d(golden, case):
    name, (n, c, h, w), (kh, kw), groups = case["name"], case["x"], case["kernel"], case["groups"]
    top, bottom, left, right = case["padding"]
    oh, ow = (h + top + bottom - kh) // case["stride"] + 1, (w + left + right - kw) // case["stride"] + 1
    x = leaf(name, 0, case["x"])
    weight = leaf(name, 1, (oh, ow, case["out"], kh, kw, c // groups))
    bias = leaf(name, 2, (oh, ow, case["out"])) if case["bias"] else None
    windows = F.unfold(F.pad(x, (left, right, top, bottom)), (kh, kw), stride=case["stride"])
    windows = windows.reshape(n, groups, c // groups, kh, kw, oh, ow)
    of_groups = weight.reshape(oh, ow, groups, case["out"] // groups, kh, kw, c // groups)
    y = torch.einsum("ngcuvij,ijgouvc->ngoij", windows, of_groups).reshape(n, case["out"], oh, ow)
    if bias is not None:
        y = y + bias.permute(2, 0, 1)
    inputs = {"x": x, "weight": weight} | ({"bias": bias} if case["bias"] else {})
    put(golden, "locally_connected2d", case, y, inputs)


def global_avg_pool2d(golden, case):
    x = leaf(case["name"], 0, case["x"])
    put(golden, "global_avg_pool2d", case, F.adaptive_avg_pool2d(x, 1).flatten(1), {"x": x})


# The operations of the second file.
ADDED = ["batch_norm2d", "more_activations", "contrast_norm", "locally_connected2d", "global_avg_pool2d"]

files = sys.argv[1:] or ["kernels", "more_kernels"]
for file in files:
    golden = Golden()
    for op, cases in json.loads((FOLDER / "cases.json").read_text()).items():
        for case in cases if (op in ADDED) == (file == "more_kernels") else []:
            globals()[op](golden, case)
    golden.save(FOLDER / f"{file}.safetensors", script="xtask/golden/kernels.py", torch=torch.__version__)
