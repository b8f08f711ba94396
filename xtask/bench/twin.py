"""PyTorch's side of `cargo xtask bench cpu --vs-torch`: the same networks, the same work, the same output.

    python xtask/bench/twin.py train|infer ARCH BATCH SECONDS [--threads N] [--compile] [--channels-last]

Dropout is off in all but torchvision's network, which spares PyTorch a little work.
"""

import argparse
import json
import pathlib
import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "golden"))
from networks import NETWORKS  # noqa: E402

CLASSES = 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=["train", "infer"])
    parser.add_argument("arch", choices=NETWORKS)
    parser.add_argument("batch", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    make, size = NETWORKS[args.arch]
    network = make(CLASSES).train(args.work == "train")
    images = torch.randn(args.batch, 3, size, size) * 50
    if args.channels_last:
        network, images = network.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    call = torch.compile(network) if args.compile else network
    labels = torch.arange(args.batch) * 7 % CLASSES
    # `foreach` updates all parameters in a few calls: PyTorch's fastest on the CPU.
    solver = torch.optim.SGD(network.parameters(), lr=1e-8, momentum=0.9, weight_decay=5e-4, foreach=True)

    def train():
        solver.zero_grad(set_to_none=False)
        F.cross_entropy(call(images), labels).backward()
        solver.step()

    def infer():
        with torch.inference_mode():
            call(images)

    step = train if args.work == "train" else infer
    for _ in range(2):
        step()
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < args.seconds:
        before = time.perf_counter()
        step()
        times.append(time.perf_counter() - before)
    seconds = statistics.median(times)
    print(json.dumps({
        "work": args.work, "arch": args.arch, "batch": args.batch, "n": len(times), "seconds": seconds,
        "images_per_second": args.batch / seconds,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "torch": torch.__version__, "compile": args.compile, "channels_last": args.channels_last,
    }))


main()
