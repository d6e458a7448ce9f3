"""What the checks share: counting them, and running what was built."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
_passed = 0


def check(what, passed, detail=""):
    """Ends the run with `what` unless it holds."""
    global _passed
    if not passed:
        sys.exit(f"FAILED: {what} {detail}")
    _passed += 1
    print(f"ok: {what} {detail}")


def run(program, *arguments):
    """Standard output of `program`, run at the root of the repository."""
    command = [str(part) for part in (program, *arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"FAILED: {' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def alora(binary, *arguments):
    """The report of a command of alora."""
    return json.loads(run(binary, *arguments, "--json"))


def closing_line():
    print(f"{_passed} passed, 0 failed")
