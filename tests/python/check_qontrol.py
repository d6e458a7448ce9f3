"""The vendor's own client speaks with emulated Qontrol modules, in text and in binary.

Usage: check_qontrol.py ALORA_BINARY. Needs qontrol (1.1.20) and pyserial.

Chains of one and of two output modules and of an input module are served on pseudo-terminals, and the client sets, reads
back and provokes errors. The last channel of every chain has nothing connected.
"""

import json
import re
import sys

import qontrol
import serial

from emulators import emulated
from oracle import check, closing_line

# The client truncates to a code word in binary, and sends decimals in text: one step of 12 V / 65535, and half a last digit.
STEP = 12 / 65535 + 0.00005
FULL = {"Q8iv": (12.0, 24.0), "Q8b": (12.0, 83.3333)}


class Served:
    """An emulated chain, and the port that leads to it."""

    def __init__(self, program, *kinds):
        self.kinds = kinds
        modules = f"emulate.device.weights.modules={json.dumps(kinds)}"
        open_channel = f"emulate.device.weights.open_channels=[{8 * len(kinds) - 1}]"
        self.running = emulated(program, "configs/emulated-qontrol.toml", "--set", modules, "--set", open_channel)

    def __enter__(self):
        [device] = self.running.__enter__()
        self.port = device["path"]
        return self

    def __exit__(self, *what):
        self.running.__exit__(*what)


def near(found, expected, tolerance=STEP):
    return len(found) == len(expected) and all(abs(a - b) <= tolerance for a, b in zip(found, expected))


def errors(client):
    return [(entry["id"], entry["ch"]) for entry in client.log if entry["type"] == "err"]


def check_outputs(served, binary):
    mode = f"{'+'.join(served.kinds)} in {'binary' if binary else 'text'}"
    client = qontrol.QXOutput(serial_port_name=served.port, binary_mode=binary)
    channels = 8 * len(served.kinds)
    found = [(module["device_id"], module["index"], module["n_chs"]) for module in client.chain]
    expected = [(f"{kind}-{index + 1:04}", index, 8) for index, kind in enumerate(served.kinds)]
    check(f"{mode}: the chain is enumerated", found == expected, found)
    check(f"{mode}: full scales", (client.v_full, client.i_full) == FULL[served.kinds[0]], (client.v_full, client.i_full))
    check(f"{mode}: channels", client.n_chs == channels)
    check(f"{mode}: firmware and lifetime", client.firmware == "v2.4.1" and client.lifetime.endswith(" s"))

    for channel in (0, 3, channels - 2):
        client.v[channel] = 1.5 + channel / 10
        check(f"{mode}: channel {channel}", near([client.v[channel]], [1.5 + channel / 10]), client.v[channel])
        check(f"{mode}: its current through 1 kOhm", near([client.i[channel]], [1.5 + channel / 10], 0.001))
    wanted = [0.1 + 0.25 * channel for channel in range(channels)]
    client.set_all_values("V", list(wanted))
    check(f"{mode}: all channels", near(client.get_all_values("V"), wanted), client.get_all_values("V"))
    through = [*wanted[:-1], 0.0]
    check(f"{mode}: all currents, none into nothing", near(client.get_all_values("I"), through, 0.001))

    client.vmax[2], client.imax[2] = 5, 12
    check(f"{mode}: limits", near([client.vmax[2]], [5]) and near([client.imax[2]], [12], 0.001))
    client.i[1] = 2.0
    check(f"{mode}: a current is set", near([client.i[1]], [2.0], 0.001), client.i[1])
    check(f"{mode}: no error so far", errors(client) == [], errors(client))

    before = client.v[2]
    client.v[2] = 6
    check(f"{mode}: over-voltage is refused", errors(client)[-1] == (1, 2) and client.v[2] == before, errors(client))
    client.i[channels - 1] = 2.0
    check(f"{mode}: a current into nothing is refused", errors(client)[-1] == (1, 7), errors(client))
    # The client gives up only after its time-outs, and tells it by a warning or an exception.
    client.issue_command("wrong", operator="?")
    check(f"{mode}: an unknown command", errors(client)[-1][0] == 10)
    client.issue_command("v", ch=0, operator="=", value="x")
    check(f"{mode}: a wrong value", errors(client)[-1] == (11, 0))
    client.vmax[2], client.imax[2] = 12, 24
    client.set_all_values("V", 0)
    check(f"{mode}: zero", near(client.get_all_values("V"), [0] * channels))
    client.close()


def check_inputs(served, binary):
    client = qontrol.SXInput(serial_port_name=served.port, binary_mode=binary)
    check(f"inputs, binary {binary}: channels", client.n_chs == 8, client.n_chs)
    check(f"inputs, binary {binary}: currents", client.get_all_values("I") == [0.0] * 8, client.get_all_values("I"))
    client.close()


def check_lines(served):
    """What is known byte for byte."""
    with serial.Serial(served.port, 115200, timeout=0.3) as port:
        def ask(line):
            port.write(line)
            return port.read(4096)

        check("id", ask(b"ID?\n") == b"Q8iv-0001\n")
        check("nup", ask(b"nup=0\n") == b"\x06OK\n" * 2)
        check("nupall", ask(b"nupall?\n") == b"Q8iv-0001: 0\nQ8iv-0002: 1\n")
        check("full scales", ask(b"vfull?\nifull?\n") == b"+12.0000 V\n+24.0000 mA\n")
        check("of all modules", ask(b"nchanall?\nfirmwareall?\n") == b"8\n8\nv2.4.1\nv2.4.1\n")
        check("a write", ask(b"v3=4.5\n") == b"OK\n")
        check("sixteen values", ask(b"vvec0=" + b",".join([b"1.000"] * 16) + b"\n") == b"E14:00\nE15:00\n")
        check("eight values over two modules", ask(b"vvec4=" + b",".join([b"1"] * 8) + b"\n") == b"OK\nOK\n")
        frame = bytes([0x82, 0x00, 0, 0, 4, 0, 8]) + b"\x10\x00" * 8
        check("the same in binary", ask(frame) == b"OK\nOK\n")
        lines = ask(b"vipall?\n").decode().splitlines()
        pattern = re.compile(r"\d,\d: \+\d+\.\d{4} V, \+\d+\.\d{4} mA(, +\d+\.\d{4} mW, +\d+ Ohm)?")
        check("powers", len(lines) == 16 and all(map(pattern.fullmatch, lines)), lines[4])
        check("only where current flows", "Ohm" in lines[4] and "Ohm" not in lines[0])
        log = ask(b"log?\n").decode().splitlines()
        check("the log", log[0] == "#  0, E15:00, 0 m ago" and log[1] == "#  1, E14:00, 0 m ago", log[:2])


def main(program):
    for kinds in (("Q8iv",), ("Q8iv", "Q8iv"), ("Q8b",)):
        for binary in (False, True):
            with Served(program, *kinds) as served:
                check_outputs(served, binary)
    for binary in (False, True):
        with Served(program, "S8i") as served:
            check_inputs(served, binary)
    with Served(program, "Q8iv", "Q8iv") as served:
        check_lines(served)
    closing_line()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
