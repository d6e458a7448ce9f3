#!/usr/bin/env python3
"""Times mesh::decompose and the Python package `interferometer` on the same unitaries, in turn, and prints a table.

    python3 -m venv ENV && ENV/bin/pip install interferometer==1.1.2
    ENV/bin/python benches/decompose.py [--modes 64,128,256] [--rounds 3]

Both find the rectangular mesh of Clements et al., Optica 3, 1460 (2016), on one thread, and both are checked to give the
unitary back. Times are medians over the rounds, in brackets the least and the greatest.
"""

import os

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import argparse
import json
import pathlib
import shutil
import subprocess
import tempfile
import time

import numpy
from interferometer import square_decomposition

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", default="64,128,256")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rng = numpy.random.default_rng(1)
    print("| N | `interferometer` | its error | here | error | ratio |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        # A copy, so that a build meanwhile changes nothing.
        bench = shutil.copy(built(), folder)
        for modes in map(int, arguments.modes.split(",")):
            u = random_unitary(modes, rng)
            file = pathlib.Path(folder) / f"{modes}.npy"
            numpy.save(file, numpy.stack([u.real, u.imag], axis=-1))
            theirs, ours, errors = [], [], []
            for _ in range(arguments.rounds):
                start = time.perf_counter()
                mesh = square_decomposition(u)
                theirs.append(time.perf_counter() - start)
                line = subprocess.run([bench, file, "--rounds", "7"], check=True, capture_output=True, text=True)
                found = json.loads(line.stdout.strip().splitlines()[-1])
                ours.append(found["seconds"])
                errors.append(found["error"])
            error = largest_error(mesh, u)
            assert error < 1e-9 and max(errors) < 1e-9, "a decomposition does not give the unitary back"
            ratio = numpy.median(theirs) / numpy.median(ours)
            print(f"| {modes} | {spread(theirs)} | {error:.0e} | {spread(ours)} | {max(errors):.0e} | {ratio:.0f} |", flush=True)


def built():
    """Path of the benchmark, built."""
    command = ["cargo", "bench", "--no-run", "--locked", "-p", "alora-calibration", "--bench", "decompose"]
    told = subprocess.run([*command, "--message-format", "json"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    messages = map(json.loads, told.stdout.splitlines())
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "decompose")


def random_unitary(modes, rng):
    """Unitary factor of a complex Gaussian matrix, phases fixed so that it is Haar distributed (Mezzadri 2007)."""
    q, r = numpy.linalg.qr(rng.standard_normal((modes, modes)) + 1j * rng.standard_normal((modes, modes)))
    return q * (numpy.diag(r) / abs(numpy.diag(r)))


def largest_error(mesh, u):
    """Largest entry by which the splitters of `mesh`, applied row by row, miss `u`."""
    found = numpy.eye(len(u), dtype=complex)
    for splitter in mesh.BS_list:
        upper, lower = splitter.mode1 - 1, splitter.mode2 - 1
        c, s, turn = numpy.cos(splitter.theta), numpy.sin(splitter.theta), numpy.exp(1j * splitter.phi)
        above, below = found[upper].copy(), found[lower].copy()
        found[upper], found[lower] = turn * c * above - s * below, turn * s * above + c * below
    return abs(numpy.exp(1j * numpy.array(mesh.output_phases))[:, None] * found - u).max()


def spread(times):
    return f"{1e3 * numpy.median(times):.3g} ({1e3 * min(times):.3g}–{1e3 * max(times):.3g}) ms"


if __name__ == "__main__":
    main()
