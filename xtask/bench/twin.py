"""PyTorch counterpart for `cargo xtask bench cpu --vs-torch` and for the GPU kit: the same networks, work and output
format.

    python xtask/bench/twin.py train|infer ARCH BATCH SECONDS [--threads N] [--compile] [--channels-last]
        [--device cuda] [--precision f32|tf32|bf16]

Dropout is off in all networks except torchvision's, which saves PyTorch a little work.
"""

import argparse
import json
import math
import pathlib
import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "golden"))
import networks  # noqa: E402

CLASSES = 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=["train", "infer"])
    parser.add_argument("arch", choices=networks.NETWORKS)
    parser.add_argument("batch", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["f32", "tf32", "bf16"], default="f32")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.precision == "tf32"
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    make, size = networks.NETWORKS[args.arch]
    network = make(CLASSES).train(args.work == "train").to(args.device)
    images = torch.randn(args.batch, 3, size, size, device=args.device) * 50
    if args.channels_last:
        network, images = network.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    half = args.precision == "bf16"
    if half and args.work == "infer":
        # Faster than autocast, which converts the weights in each pass.
        network, images = network.bfloat16(), images.bfloat16()
        if args.device == "cpu":
            # The CPU does not support bf16 in the operations of response normalization.
            lrn = networks.lrn
            networks.lrn = lambda x, *sizes: lrn(x.float(), *sizes).to(x.dtype)
    call = torch.compile(network) if args.compile else network
    labels = torch.arange(args.batch, device=args.device) * 7 % CLASSES
    mixed = torch.autocast(args.device, torch.bfloat16, enabled=half and args.work == "train")
    # `foreach` updates all parameters in a few calls; the fastest setting on the CPU.
    solver = torch.optim.SGD(network.parameters(), lr=1e-8, momentum=0.9, weight_decay=5e-4, foreach=True)

    def train():
        solver.zero_grad(set_to_none=args.device != "cpu")
        with mixed:
            loss = F.cross_entropy(call(images), labels)
        loss.backward()
        solver.step()

    def infer():
        with torch.inference_mode(), mixed:
            call(images)

    step = train if args.work == "train" else infer

    def several(runs):
        before = time.perf_counter()
        for _ in range(runs):
            step()
        if args.device != "cpu":
            torch.cuda.synchronize()
        return (time.perf_counter() - before) / runs

    for _ in range(2 if args.device == "cpu" else 5):
        several(1)
    # On a GPU, about 20 ms of steps are queued per timing; the result is the time per step.
    runs = 1 if args.device == "cpu" else max(1, min(1000, math.ceil(0.02 / several(1))))
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < args.seconds:
        times.append(several(runs))
    seconds = statistics.median(times)
    print(json.dumps({
        "work": args.work, "arch": args.arch, "batch": args.batch, "n": len(times), "seconds": seconds,
        "images_per_second": args.batch / seconds,
        "precision": args.precision,
        "peak_memory_mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 if args.device == "cpu"
                            else torch.cuda.max_memory_allocated() / 2**20),
        "torch": torch.__version__, "compile": args.compile, "channels_last": args.channels_last,
    }))


main()
