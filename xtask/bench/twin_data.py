"""Python counterpart for `cargo xtask bench data --vs-torch`: the same files, work and output format.

    python xtask/bench/twin_data.py load DATA WORKERS SECONDS      torchvision's ImageFolder and PyTorch's DataLoader
    python xtask/bench/twin_data.py resized DATA WORKERS SECONDS   the same with RandomResizedCrop
    python xtask/bench/twin_data.py prepare DATA WORKERS OUTPUT    Pillow, one process per worker, to files of 256 pixels
"""

import json
import multiprocessing
import pathlib
import resource
import sys
import time

from PIL import Image

BATCH = 128


def load(work, data, workers, seconds):
    import torch
    from torchvision import datasets, transforms

    torch.set_num_threads(1)
    crop = [transforms.RandomResizedCrop(224)] if work == "resized" else [transforms.Resize(256), transforms.RandomCrop(224)]
    transform = transforms.Compose([
        *crop,
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])
    train = pathlib.Path(data) / "train"
    images = datasets.ImageFolder(train if train.is_dir() else data, transform)
    # Persistent workers are PyTorch's fastest setting.
    loader = torch.utils.data.DataLoader(
        images, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )

    def epoch():
        return sum(len(labels) for _, labels in loader)

    epoch()
    start, count = time.perf_counter(), 0
    while True:
        count += epoch()
        if time.perf_counter() - start >= seconds:
            return count, time.perf_counter() - start


def shrink(job):
    source, target = job
    image = Image.open(source).convert("RGB")
    width, height = image.size
    scale = 256 / min(width, height)
    image = image.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    image.save(target, quality=95)


def prepare(data, workers, output):
    start = time.perf_counter()
    jobs = []
    for source in sorted(pathlib.Path(data).rglob("*")):
        if source.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"):
            target = pathlib.Path(output) / source.relative_to(data).with_suffix(".jpg")
            target.parent.mkdir(parents=True, exist_ok=True)
            jobs.append((source, target))
    with multiprocessing.Pool(workers) as pool:
        pool.map(shrink, jobs, chunksize=16)
    return len(jobs), time.perf_counter() - start


def main():
    work, data, workers, last = sys.argv[1:]
    workers = int(workers)
    images, seconds = prepare(data, workers, last) if work == "prepare" else load(work, data, workers, float(last))
    # Peak of this process plus that of its largest child.
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({
        "work": work, "workers": workers, "images": images, "seconds": seconds, "images_per_second": images / seconds,
        "peak_memory_mib": peak / 1024,
    }))


if __name__ == "__main__":
    main()
