"""PyTorch's results, in float64, for whole networks: logits and all gradients of each variant, and the losses of ten
training steps of `alexnet`, with dropout off. The Rust tests generate the same weights and images.

    python xtask/golden/model.py        # with torch 2.11 and torchvision 0.26; about five minutes on two cores
"""

import pathlib

import torch
import torch.nn.functional as F
import torchvision

from networks import NETWORKS
from philox import uniform
from store import Golden

FILE = pathlib.Path(__file__).parents[2] / "crates/alexnet-model/golden/networks.safetensors"
CLASSES = 10


# Images on the scale of pixels minus their mean, so that the normalizations have an effect; the last layer's weights are
# small enough for logits of order 1.
SCALE = 64


def fill(network, arch):
    """Uniform weights with standard deviation sqrt(2 / fan_in), so that activations keep their scale; biases 0.5."""
    parameters = list(network.named_parameters())
    last = parameters[-2][0]
    with torch.no_grad():
        for name, parameter in parameters:
            if parameter.ndim == 1:
                parameter.fill_(0.5)
            else:
                bound = (6 / parameter[0].numel()) ** 0.5 / (SCALE if name == last else 1)
                values = uniform(f"{arch}/{name}", 0, parameter.shape) * bound
                # Rounded to float32, as in Rust.
                parameter.copy_(torch.from_numpy(values).float().double())


def images(arch, step, n, size):
    return torch.from_numpy(uniform(f"{arch}/images", step, (n, 3, size, size))) * SCALE


def gradients(network, x):
    network.zero_grad()
    logits = network(x)
    F.cross_entropy(logits, torch.tensor([3])).backward()
    return {"logits": logits.detach()} | {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


def error(a, b):
    return max(((a[name] - b[name]).abs().max() / b[name].pow(2).mean().sqrt()).item() for name in b)


def takes_other_branches(network, x, exact):
    """Whether weights that differ by a few roundings change a branch: a ReLU near 0 or a maximum that is nearly a tie."""
    generator = torch.Generator().manual_seed(0)
    saved = {name: value.clone() for name, value in network.state_dict().items()}
    for _ in range(3):
        with torch.no_grad():
            for parameter in network.parameters():
                noise = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
                parameter.mul_(1 + 1e-6 * noise)
        other = gradients(network, x)
        network.load_state_dict(saved)
        # Without a changed branch, the largest error is about 5e-5.
        if error(other, exact) > 3e-4:
            return True
    return False


golden = Golden()
for arch, (build, size) in NETWORKS.items():
    network = build(CLASSES).double()
    fill(network, arch)
    # The first image that is not close to any branch.
    for index in range(100):
        x = images(arch, index, 1, size)
        exact = gradients(network, x)
        if not takes_other_branches(network, x, exact):
            break
    else:
        raise SystemExit(f"{arch}: every image is close to a branch")
    print(arch, "images", index, exact["logits"][0, :3], flush=True)
    golden.put(f"{arch}/images", torch.tensor([float(index)]))
    for name, value in exact.items():
        golden.put(f"{arch}/{name}", value)

# Ten steps of the 2012 update rule: v <- 0.9 v - decay rate w - rate g, w <- w + v; biases at twice the rate, without decay.
arch, n, rate, decay = "alexnet", 4, 5e-7, 0.0005
network = NETWORKS[arch][0](CLASSES).double()
fill(network, arch)
velocity = {name: torch.zeros_like(parameter) for name, parameter in network.named_parameters()}
losses = []
for step in range(10):
    labels = torch.tensor([(3 * step + i) % CLASSES for i in range(n)])
    loss = F.cross_entropy(network(images(arch, step, n, 224)), labels)
    network.zero_grad()
    loss.backward()
    losses.append(loss.item())
    print(step, losses[-1])
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            bias = parameter.ndim == 1
            epsilon = 2 * rate if bias else rate
            shrink = 0 if bias else decay * epsilon
            velocity[name] = 0.9 * velocity[name] - shrink * parameter - epsilon * parameter.grad
            parameter += velocity[name]
golden.put("alexnet/ten steps", torch.tensor(losses, dtype=torch.float64))
FILE.parent.mkdir(exist_ok=True)
golden.save(FILE, script="xtask/golden/model.py", torch=torch.__version__, torchvision=torchvision.__version__)
