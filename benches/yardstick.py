#!/usr/bin/env python3
"""Measures this engine and PyTorch in turn, on the same machine, and prints a Markdown table.

    python3 benches/yardstick.py --torch-bench FOLDER --python PYTHON [--rounds 5] [--threads 1,2] [--lines runs/yardstick.jsonl]

FOLDER holds a `bench.py` that takes `{b1,b2,b3} IMPLEMENTATION --threads N --out OUTPUTS --iters N` and prints one line of JSON, as the
`yardstick` bench does; PYTHON is an interpreter that has PyTorch. Each measurement is a process of its own. In each round every
implementation runs once for each workload, one after the other, so that a change of the machine's speed meets all of them. The table
gives the median over the rounds, with the least and the largest, and the ratio of the medians. Lines are appended as they come: a
second call with the same file adds rounds.
"""

import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
OURS = "alora"

# Workload, outputs of its layer, baselines of each round, slow baselines of the first round only.
WORKLOADS = [
    ("b1", 768, ["fp32"], []),
    ("b1", 3072, ["fp32"], []),
    ("b2", None, ["tuned", "naive"], ["lightning"]),
    ("b3", None, ["tuned"], []),
]

# Workload, what is shown, field of the line, unit.
ROWS = [
    ("b1", "forward", "fwd_ms", "ms", 1.0),
    ("b1", "forward + backward", "fwdbwd_ms", "ms", 1.0),
    ("b2", "training step", "step_s", "ms", 1e3),
    ("b3", "inference of 64 images", "batch_ms", "ms", 1.0),
    ("b2", "peak memory", "rss_mib", "MiB", 1.0),
    ("b3", "peak memory", "rss_mib", "MiB", 1.0),
]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-bench", type=pathlib.Path, required=True, help="folder of the PyTorch benchmark")
    parser.add_argument("--python", default="python3", help="interpreter that has PyTorch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--lines", type=pathlib.Path, default=ROOT / "runs/yardstick.jsonl", help="file of the lines")
    parser.add_argument("--table-only", action="store_true", help="print the table of the lines that are there")
    return parser.parse_args()


def build():
    """Builds the bench and returns its executable."""
    command = ["cargo", "bench", "--bench", "yardstick", "--no-run", "--message-format=json"]
    messages = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in messages.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "yardstick":
            return message["executable"]
    raise SystemExit("cargo named no executable of the bench `yardstick`")


def line_of(command, folder):
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise SystemExit(f"`{' '.join(map(str, command))}` in {folder} gave no line of JSON: {done.stderr[-500:]}")
    return json.loads(lines[-1])


def measure(options):
    executable = build()
    options.lines.parent.mkdir(parents=True, exist_ok=True)
    with options.lines.open("a") as lines:
        for index in range(options.rounds):
            for threads in options.threads.split(","):
                for what, out, baselines, slow in WORKLOADS:
                    shape = [] if out is None else ["--out", str(out)]
                    common = ["--threads", threads, *shape]
                    runs = [([executable, what, *common], ROOT)]
                    for name in baselines + (slow if index == 0 else []):
                        iterations = ["--iters", "3"] if name in slow else []
                        runs.append(([options.python, "bench.py", what, name, *common, *iterations], options.torch_bench))
                    for command, folder in runs:
                        line = line_of(command, folder)
                        print(json.dumps(line), flush=True)
                        lines.write(json.dumps(line) + "\n")
                        lines.flush()


def shown(values):
    middle = statistics.median(values)
    digits = 2 if middle < 10 else 1 if middle < 100 else 0
    text = f"{middle:.{digits}f}"
    if len(values) > 1:
        text += f" ({min(values):.{digits}f}–{max(values):.{digits}f})"
    return text


def table(path):
    groups = collections.defaultdict(list)
    foreign = []
    for text in path.read_text().splitlines():
        line = json.loads(text)
        groups[line["bench"], line.get("shape", ""), line["threads"], line["impl"]].append(line)
        foreign += line["foreign_cores"]
    print(f"\nCores that other processes used meanwhile: median {statistics.median(foreign)}, most {max(foreign)}.\n")
    print("| workload | threads | PyTorch | its median | here | ratio |\n|---|---|---|---|---|---|")
    names = {"b1": "B1, W {shape}, ", "b2": "B2, ", "b3": "B3, "}
    for bench, what, field, unit, factor in ROWS:
        for key in sorted(key for key in groups if key[0] == bench and key[3] == OURS):
            _, shape, threads, _ = key
            ours = [factor * line[field] for line in groups[key]]
            for other in sorted(k for k in groups if k[:3] == key[:3] and k[3] != OURS):
                theirs = [factor * line[field] for line in groups[other]]
                ratio = statistics.median(ours) / statistics.median(theirs)
                name = names[bench].format(shape=shape.replace("x", " × ")) + what
                print(f"| {name} | {threads} | {other[3]} | {shown(theirs)} {unit} | {shown(ours)} {unit} | {ratio:.2f} |")


def main():
    options = arguments()
    if not options.table_only:
        measure(options)
    table(options.lines)


if __name__ == "__main__":
    main()
