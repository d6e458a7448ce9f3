"""A second opinion in Python: reads what `alora` wrote and computes the figures again.

Usage: check_run.py ALORA_BINARY. Needs numpy and safetensors.
"""

import json
import pathlib
import sys
import tempfile
import tomllib

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from oracle import alora, check, closing_line

def sigma_from_raw(target, measured):
    """rms over programmings and cells of (mean over repeats − target), relative to max|target|."""
    residual = measured.mean(axis=1) - target
    return np.sqrt(np.mean(residual**2)) / np.abs(target).max()


def check_record(folder, report):
    with np.load(folder / "record.npz") as record:
        target, measured = record["target"], record["measured"]
    check("record shapes", measured.shape == (target.shape[0], measured.shape[1], *target.shape[1:]),
          f"{target.shape} {measured.shape}")
    ours, theirs = report["sigma"]["rms"], sigma_from_raw(target, measured)
    check("sigma from the raw record by numpy equals ours to 1e-9", abs(ours - theirs) < 1e-9, f"{ours} {theirs}")
    repeats = measured.shape[1]
    within = measured.var(axis=1, ddof=1).mean()
    check("read-out sigma by numpy equals ours to 1e-9",
          abs(np.sqrt(within) / np.abs(target).max() - report["sigma"]["readout"]) < 1e-9, f"R = {repeats}")
    check("n", report["sigma"]["n"] == target.size)


def check_weights(folder, report):
    base, merged = load_file(folder / "base.safetensors"), load_file(folder / "merged.safetensors")
    adapters = load_file(folder / "adapters.safetensors")
    with safe_open(folder / "adapters.safetensors", "numpy") as file:
        metadata = file.metadata()
    check("the adapters say that they come from a simulation", metadata["simulated"] == "true")
    alphas = json.loads(metadata["alpha"])
    total = trainable = 0
    for name, weight in base.items():
        total += weight.size
        if not name.endswith(".weight"):
            check(f"{name} unchanged by merging", np.array_equal(weight, merged[name]))
            continue
        layer = name.removesuffix(".weight")
        a, b = adapters[f"{layer}.lora_A.weight"], adapters[f"{layer}.lora_B.weight"]
        expected = weight.astype(np.float64) + alphas[layer] / a.shape[0] * b.astype(np.float64) @ a.astype(np.float64)
        worst = np.abs(expected - merged[name]).max()
        check(f"{name}: merged = base + (alpha/k) B A to 1e-6", worst < 1e-6, f"{worst:.1e}")
        check(f"{name}: the adapter does something", np.abs(b).max() > 0)
        trainable += a.size + b.size
    check("parameters", report["parameters"] | {"total": total, "trainable": trainable} == report["parameters"],
          f"{total} {trainable}")


def check_deployment(folder, report):
    with np.load(folder / "deployment.npz") as arrays:
        names = sorted({key.split(".")[0] for key in arrays})
        tiles = sum(arrays[f"{name}.target"].shape[0] for name in names)
        worst = max(np.abs(arrays[f"{name}.measured"] - arrays[f"{name}.target"]).max() for name in names)
    check("tiles", tiles == report["deployment"]["tiles"], f"{tiles}")
    check("worst residual by numpy equals ours to 1e-9",
          abs(worst - report["deployment"]["worst_residual"]) < 1e-9, f"{worst:.4f}")


def check_codes(folder):
    """Tiles asked of the processor: the merged weights over their full scale, rounded to the codes of the weight converter."""
    with open(folder / "deployment.toml", "rb") as file:
        deployment = tomllib.load(file)
    rows, cols = deployment["tile_rows"], deployment["tile_cols"]
    max_code = 2 ** (deployment["precision"]["weight_bits"] - 1) - 1
    check("one scale a layer", deployment["scaling"] == "matrix")
    merged = load_file(folder / "merged.safetensors")
    with np.load(folder / "deployment.npz") as arrays:
        for layer in deployment["layers"]:
            name = layer["name"]
            weight = merged[f"{name}.weight"].astype(np.float64)
            # numpy's rint takes ties to even.
            held = np.rint(weight / np.abs(weight).max() * max_code) / max_code
            padded = np.pad(held, [(0, -held.shape[0] % rows), (0, -held.shape[1] % cols)])
            grid = padded.reshape(padded.shape[0] // rows, rows, padded.shape[1] // cols, cols)
            tiles = grid.transpose(0, 2, 1, 3).reshape(-1, rows, cols)
            target = arrays[f"{name}.target"]
            # The same arithmetic in f64, in another order.
            check(f"{name}: tiles are the weights as the converter holds them",
                  target.shape == tiles.shape and np.abs(target - tiles).max() < 1e-15, f"{len(tiles)} tiles")


def check_own_pairs(binary, folder):
    rng = np.random.default_rng(5)
    target = rng.uniform(-1, 1, (6, 8, 8))
    measured = target[:, None] + 0.012 * rng.standard_normal((6, 1, 8, 8)) + 0.004 * rng.standard_normal((6, 3, 8, 8))
    expected = sigma_from_raw(target, measured)
    variants = {
        "repeats": dict(target=target, measured=measured),
        "fortran": dict(target=np.asfortranarray(target), measured=np.asfortranarray(measured)),
        "single": dict(target=target.astype(np.float32), measured=measured.astype(np.float32)),
    }
    for name, arrays in variants.items():
        path = folder / f"{name}.npz"
        np.savez(path, **arrays)
        report = alora(binary, "fit", path, "--out", folder / f"fit-{name}")
        tolerance = 1e-6 if name == "single" else 1e-9
        check(f"own pairs ({name})", abs(report["sigma"]["rms"] - expected) < tolerance, f"{report['sigma']['rms']}")
    csv = folder / "pairs.csv"
    flat = np.column_stack([target.ravel(), measured[:, 0].ravel()])
    np.savetxt(csv, flat, delimiter=",", header="target,measured", comments="")
    report = alora(binary, "fit", csv, "--out", folder / "fit-csv")
    by_numpy = np.sqrt(np.mean((flat[:, 1] - flat[:, 0]) ** 2)) / np.abs(flat[:, 0]).max()
    check("own pairs (CSV)", abs(report["sigma"]["rms"] - by_numpy) < 1e-9, f"{report['sigma']['rms']}")
    check("what CSV cannot give is null", report["sigma"]["programming"] is None)


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        report = alora(binary, "run", "tests/configs/quick.toml", "--out", folder / "run")
        check_record(folder / "run", report)
        check_weights(folder / "run", report)
        check_deployment(folder / "run", report)
        check_codes(folder / "run")
        check_own_pairs(binary, folder)
    closing_line()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
