"""Runs a GPU kit: correctness, speed, and PyTorch's figures from the same run, as one JSON document.

    python3 run.py [--parts devices,tests,training,bench,layers,profile,sanitize] [--output FILE] [--seconds S] [--batch N]

Needs an NVIDIA GPU and a Python with torch 2.11, whose CUDA libraries the programs use; no Rust. Made by
`cargo xtask gpu-kit`.
"""

import argparse
import collections
import csv
import json
import os
import pathlib
import re
import site
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PARTS = ["devices", "tests", "training", "bench", "layers", "profile", "sanitize"]


def environment():
    """The programs' own, with the CUDA libraries of PyTorch."""
    folders = []
    for root in [*site.getsitepackages(), *sys.path]:
        for library in pathlib.Path(root or ".").glob("nvidia/**/lib"):
            if str(library) not in folders:
                folders.append(str(library))
    variables = dict(os.environ)
    variables["LD_LIBRARY_PATH"] = ":".join(folders + [variables.get("LD_LIBRARY_PATH", "")])
    return variables


def run(command, timeout=580, cwd=None, **variables):
    """Exit code, standard output and error."""
    start = time.time()
    try:
        done = subprocess.run([str(part) for part in command], env={**ENVIRONMENT, **variables}, capture_output=True,
                              text=True, timeout=timeout, cwd=cwd)
        return done.returncode, done.stdout, done.stderr, time.time() - start
    except subprocess.TimeoutExpired as error:
        return 124, (error.stdout or b"").decode(), f"ran longer than {timeout} s", time.time() - start
    except OSError as error:
        return 127, "", str(error), time.time() - start


def devices(*_):
    code, output, error, _ = run([BIN / "alexnet", "info", "--devices", "--json"])
    return json.loads(output) if code == 0 else {"failed": error.strip()}


def tests(*_):
    """The operations', networks' and the loop's tests; without a GPU they fail."""
    results = {}
    for name in ["alexnet_kernels", "alexnet_model", "alexnet_train"]:
        # Of training only what asks for a GPU.
        only = ["trainer::"] if name == "alexnet_train" else []
        command = [BIN / f"{name}_tests", "--test-threads", "1", *only]
        code, output, error, seconds = run(command, CARGO_MANIFEST_DIR=str(HERE / name.replace("_", "-")),
                                           ALEXNET_REQUIRE="cuda", ALEXNET_ONLY="cuda")
        results[name] = {
            "passed": code == 0,
            "exit_code": code,
            "seconds": round(seconds, 1),
            "result": next((line for line in output.splitlines() if line.startswith("test result")), error[-500:]),
            "failed": re.findall(r"^test (\S+) \.\.\. FAILED", output, re.M),
            "messages": re.findall(r"panicked at [^\n]*\n([^\n]*)", output + error)[:20],
        }
    return results


def sanitize(*_):
    """The operations' tests under compute-sanitizer: out-of-bounds accesses, then races."""
    results = {}
    for tool in ["memcheck", "racecheck"]:
        prefix = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9", "--print-limit", "20"]
        command = [*prefix, BIN / "alexnet_kernels_tests", "--test-threads", "1", "--skip", "reference_agrees",
                   "--skip", "threads"]
        code, output, error, seconds = run(command, CARGO_MANIFEST_DIR=str(HERE / "alexnet-kernels"),
                                           ALEXNET_ONLY="cuda")
        summary = [line for line in (output + error).splitlines() if "ERROR SUMMARY" in line or "RACECHECK" in line]
        results[tool] = {"passed": code == 0, "exit_code": code, "seconds": round(seconds, 1), "summary": summary[-3:], "tail": output[-600:]}
    return results


def training(*_):
    """The README's run, on the built-in shapes, on the CPU and on the GPU in each precision: all must learn."""
    curves = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, options in [
            ("cpu", ["--device", "cpu"]),
            ("f32", ["--device", "cuda"]),
            ("tf32", ["--device", "cuda", "--tf32"]),
            ("bf16", ["--device", "cuda", "--precision", "bf16"]),
        ]:
            out = pathlib.Path(folder) / name
            # 378 steps; on the wrong gradients they end at one in ten.
            code, _, error, seconds = run([BIN / "alexnet", "train", "--output", out, *options], cwd=folder)
            curves[name] = {"passed": code == 0, "exit_code": code, "seconds": round(seconds, 1)}
            if code != 0:
                curves[name]["error"] = error[-500:]
                continue
            lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
            curves[name]["losses"] = [line["loss"] for line in lines if "loss" in line]
            epochs = [line for line in lines if "val_top1" in line]
            curves[name]["epochs"] = epochs
            curves[name]["passed"] = bool(epochs) and epochs[-1]["val_top1"] >= 0.85
    base = curves["cpu"].get("losses", [])
    for name in ["f32", "tf32", "bf16"]:
        losses = curves[name].get("losses", [])
        # Every tenth step is recorded, so these are the first hundred.
        pairs = list(zip(losses[:10], base[:10]))
        if pairs:
            curves[name]["largest_difference_from_cpu_in_100_steps"] = max(abs(a - b) / max(abs(b), 1e-3) for a, b in pairs)
    return curves


def ours(work, arch, batch, seconds, precision, **more):
    code, output, error, _ = run([BIN / "bench_compute", work, arch, batch, seconds], ALEXNET_GPU="0",
                                 ALEXNET_PRECISION=precision, **more)
    if code != 0:
        return [{"failed": error.strip()[-400:]}]
    return [json.loads(line) for line in output.splitlines()]


def torch(work, arch, batch, seconds, precision, *options):
    command = [sys.executable, HERE / "bench/twin.py", work, arch, batch, seconds, "--device", "cuda", "--precision",
               precision, *options]
    code, output, error, _ = run(command)
    return json.loads(output.splitlines()[-1]) if code == 0 else {"failed": error.strip()[-400:]}


def spread(pairs):
    """The ratios of the pairs of which both are there."""
    ratios = sorted(a / b for a, b in pairs if a and b)
    return ratios and {"median": statistics.median(ratios), "lowest": ratios[0], "highest": ratios[-1], "n": len(ratios)}


def bench(args, save):
    """Whole networks, ours and PyTorch's in turn, in rounds; ratios are taken within a round."""
    rows = []
    save(rows)
    for work, arch, batch, precision in [
        ("train", "alexnet", args.batch, "bf16"),
        ("train", "alexnet-paper", args.batch, "bf16"),
        ("train", "alexnet-torchvision", args.batch, "bf16"),
        ("train", "alexnet-paper", args.batch, "f32"),
        ("infer", "alexnet-torchvision", 1, "bf16"),
        ("infer", "alexnet-torchvision", 512, "bf16"),
    ]:
        row = {"work": work, "arch": arch, "batch": batch, "precision": precision, "rounds": []}
        for _ in range(args.rounds):
            theirs = torch(work, arch, batch, args.seconds, precision, "--compile", "--channels-last")
            if "failed" in theirs:
                # As where there is no compiler for what it generates.
                theirs = {**torch(work, arch, batch, args.seconds, precision, "--channels-last"),
                          "compiled": theirs["failed"]}
            found = {"ours": ours(work, arch, batch, args.seconds, precision)[0], "torch": theirs}
            if precision != "f32":
                found["ours_without_cudnn"] = ours(work, arch, batch, args.seconds, precision, ALEXNET_CUDNN="0")[0]
            row["rounds"].append(found)
        rate = [(r["ours"].get("images_per_second"), r["torch"].get("images_per_second")) for r in row["rounds"]]
        row["ratio"] = spread(rate)
        print(json.dumps({k: v for k, v in row.items() if k != "rounds"}), file=sys.stderr)
        rows.append(row)
        save(rows)
    # From images in host memory, as a share of what the steps alone do.
    for arch in ["alexnet", "alexnet-torchvision"]:
        found = [[ours(work, arch, args.batch, args.seconds, "bf16")[0] for work in ["feed", "train"]]
                 for _ in range(args.rounds)]
        rate = [[one.get("images_per_second") for one in pair] for pair in found]
        row = {"work": "feed", "arch": arch, "batch": args.batch, "precision": "bf16", "rounds": found,
               "cores": os.cpu_count(), "share_of_step": spread(rate)}
        print(json.dumps({k: v for k, v in row.items() if k != "rounds"}), file=sys.stderr)
        rows.append(row)
        save(rows)
    return rows


def layers(args, _):
    return {arch: ours("layers", arch, args.batch, 0.3, "bf16") for arch in ["alexnet", "alexnet-torchvision"]}


def profile(args, save):
    """Time on the GPU of each kernel of a training step, by Nsight Compute: microseconds and launches per step."""
    results = {}
    for arch, cudnn in [("alexnet", "1"), ("alexnet-torchvision", "1"), ("alexnet", "0")]:
        name = arch if cudnn == "1" else f"{arch} without cuDNN"
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / "ncu.csv"
            # Past what is done once; enough for two whole steps at least.
            command = ["ncu", "--clock-control", "none", "--metrics", "gpu__time_duration.sum", "--csv", "--log-file", log,
                       "--launch-skip", "300", "--launch-count", "900", "--kill", "yes",
                       BIN / "bench_compute", "train", arch, args.batch, "2"]
            code, _, error, seconds = run(command, 240, ALEXNET_GPU="0", ALEXNET_PRECISION="bf16", ALEXNET_CUDNN=cudnn)
            lines = log.read_text().splitlines() if log.exists() else []
        start = next((i for i, line in enumerate(lines) if line.startswith('"ID"')), None)
        if start is None:
            results[name] = {"failed": (error or "\n".join(lines))[-400:], "exit_code": code, "seconds": round(seconds, 1)}
            continue
        rows = list(csv.DictReader(lines[start:]))
        # From one loss to the last one: whole steps.
        losses = [i for i, row in enumerate(rows) if row["Kernel Name"].startswith("softmax_cross_entropy")]
        steps = max(len(losses) - 1, 1)
        rows = rows[losses[0]:losses[-1]] if len(losses) > 1 else rows
        time_of, launches = collections.Counter(), collections.Counter()
        for row in rows:
            value, unit = float(row["Metric Value"].replace(",", "")), row["Metric Unit"]
            scale = {"ns": 1e-3, "nsecond": 1e-3, "us": 1.0, "usecond": 1.0, "ms": 1e3, "msecond": 1e3}[unit]
            short = row["Kernel Name"].split("(")[0][:90]
            time_of[short] += value * scale / steps
            launches[short] += 1 / steps
        results[name] = {
            "steps": steps, "microseconds_per_step": round(sum(time_of.values()), 1),
            "kernels": [[kernel, round(time, 1), round(launches[kernel], 1)] for kernel, time in time_of.most_common()],
        }
        save(results)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="devices,tests,training,bench,layers")
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=512)
    args = parser.parse_args()
    unknown = set(args.parts.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"unknown parts {sorted(unknown)}; there are {PARTS}")
    if not BIN.exists():
        with tarfile.open(HERE / "programs.tar.xz") as archive:
            # Older Pythons know no filters.
            archive.extractall(HERE, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    result = {"kit": json.loads((HERE / "kit.json").read_text())}

    def save(part, found):
        # What is done is kept if the rest runs out of time.
        result[part] = found
        if args.output:
            args.output.write_text(json.dumps(result, indent=1))

    for part in args.parts.split(","):
        save(part, globals()[part](args, lambda found, part=part: save(part, found)))
    print(json.dumps(result, indent=1))
    failed = [f"{part}: {name}" for part in ["tests", "training", "sanitize"] for name, found in result.get(part, {}).items()
              if not found["passed"]]
    if failed or "cuda" in result.get("devices", {}) and not result["devices"]["cuda"]:
        sys.exit(f"failed: {', '.join(failed) or 'there is no GPU'}")


BIN = HERE / "programs"
ENVIRONMENT = environment()
if __name__ == "__main__":
    main()
