"""An independent host for the board protocol: frames made and read by `cobs` and `zlib`, against `alora emulate`.

Usage: check_board.py ALORA_BINARY. Needs cobs.
"""

import struct
import sys
import time
import zlib

from cobs import cobs

from emulators import Wire, emulated
from oracle import check, closing_line

HELLO, STAGE, COMMIT, READ, WATCHDOG, EXECUTE, EVENT, SENSE, PARK, LIMITS, READ_LIMITS = range(1, 12)
NAK = 0xFF
NAK_CODES = {1: "frame", 2: "CRC", 3: "version", 4: "channel", 5: "range", 6: "commit mismatch", 7: "unknown type",
             8: "overflow", 9: "busy", 10: "tripped"}


def frame(kind, seq, payload=b"", version=1):
    body = struct.pack("<BBH", version, kind, seq) + payload
    return cobs.encode(body + struct.pack("<I", zlib.crc32(body))) + b"\0"


class Board:
    """One question at a time."""

    def __init__(self, device):
        self.wire = Wire(device)
        self.seq = 1000
        self.events = []

    def answer(self, seconds=2.0):
        """Type, seq and payload of the next frame that is no event; None when none comes."""
        while True:
            encoded = self.wire.read_until(b"\0", seconds)
            if encoded is None:
                return None
            body = cobs.decode(encoded)
            body, crc = body[:-4], struct.unpack("<I", body[-4:])[0]
            assert crc == zlib.crc32(body), "an answer with a wrong CRC"
            version, kind, seq = struct.unpack("<BBH", body[:4])
            assert version == 1, f"an answer of version {version}"
            if kind == EVENT:
                self.events.append(struct.unpack("<HBHi", body[4:]))
            else:
                return kind, seq, body[4:]

    def ask(self, kind, payload=b"", seq=None):
        """The payload of the answer, or the code of a refusal."""
        if seq is None:
            self.seq = seq = (self.seq + 1) & 0xFFFF
        self.wire.write(frame(kind, seq, payload))
        answer = self.answer()
        assert answer is not None, f"no answer to type {kind}"
        answered, answered_seq, payload = answer
        assert answered_seq == seq, f"seq {answered_seq} answers {seq}"
        if answered == NAK:
            return payload[0]
        assert answered == kind | 0x80, f"type {answered} answers {kind}"
        return payload

    def hello(self):
        names = ("minor", "fw_major", "fw_minor", "kind", "actuators", "inputs", "outputs", "actuator_bits", "input_bits",
                 "output_bits", "flags", "max_payload", "boot_id", "commit_epoch", "serial_len")
        payload = self.ask(HELLO)
        form = "<BBBBHHHBBBBHIIB"
        told = dict(zip(names, struct.unpack_from(form, payload)))
        told["serial"] = payload[struct.calcsize(form):].decode("ascii")
        assert len(told["serial"]) == told["serial_len"]
        return told

    def by_pieces(self, kind, codes):
        for first in range(0, len(codes), 200):
            piece = codes[first:first + 200]
            accepted = self.ask(kind, struct.pack(f"<HB{len(piece)}H", first, len(piece), *piece))
            assert accepted == bytes([len(piece)]), f"{kind}: {accepted}"

    def read(self, count, kind=READ):
        codes = []
        for first in range(0, count, 200):
            piece = min(200, count - first)
            payload = self.ask(kind, struct.pack("<HB", first, piece))
            codes += struct.unpack(f"<{piece}H", payload[1:] if kind == READ else payload)
        return codes

    def commit(self, codes):
        return self.ask(COMMIT, struct.pack("<I", zlib.crc32(struct.pack(f"<{len(codes)}H", *codes))))


def check_one(device):
    where = "TCP" if "address" in device else "a pty"
    board = Board(device)
    told = board.hello()
    actuators, top = told["actuators"], 2 ** told["actuator_bits"] - 1
    check(f"over {where}: a simulated board says that it is one", told["serial"].startswith("mock-"), told["serial"])
    check("16 x 16, two elements a weight", (actuators, told["inputs"], told["outputs"]) == (512, 16, 16))
    check("after power on every code is 0", board.read(actuators) == [0] * actuators)
    check("nothing can be staged before the limits are written",
          board.ask(STAGE, struct.pack("<HBH", 0, 1, 1)) == 5, NAK_CODES[5])
    limits = [top - index % 3 for index in range(actuators)]
    board.by_pieces(LIMITS, limits)
    check("limits are read back as written", board.read(actuators, READ_LIMITS) == limits)

    codes = [(index * 37) % (top - 2) for index in range(actuators)]
    board.by_pieces(STAGE, codes)
    check("a staged image is not applied", board.read(actuators) == [0] * actuators)
    check("a commit with another CRC is refused", board.commit(codes[::-1]) == 6, NAK_CODES[6])
    epoch = board.commit(codes)
    check("a commit tells its epoch", len(epoch) == 4 and struct.unpack("<I", epoch)[0] == told["commit_epoch"] + 1)
    check("a committed image is applied", board.read(actuators) == codes)

    board.ask(STAGE, struct.pack("<HBH", 0, 1, 5))
    refused = board.ask(STAGE, struct.pack("<HB3H", 7, 3, 1, top + 1, 1))
    check("a code above its limit refuses the whole piece", refused == 5, NAK_CODES[5])
    check("a channel out of range is refused", board.ask(STAGE, struct.pack("<HBH", actuators, 1, 0)) == 4, NAK_CODES[4])
    check("an unknown type is refused", board.ask(0x44) == 7, NAK_CODES[7])
    staged = [5, *codes[1:]]
    check("a refused piece left nothing behind", len(board.commit(staged)) == 4 and board.read(actuators) == staged)

    inputs = [0, 0, 200] + [0] * 13 + [255] * 16
    repeats, frames = 3, 2
    ask = (EXECUTE, struct.pack("<BB32H", repeats, frames, *inputs))
    counts = board.ask(*ask)
    check("repeats are kept apart", len(counts) == 1 + 2 * 16 * frames * repeats, f"{len(counts)} bytes")
    values = struct.unpack(f"<{16 * frames * repeats}h", counts[1:])
    check("repeats differ by noise and agree in size",
          values[:32] != values[32:64] and max(abs(a - b) for a, b in zip(values[:32], values[32:64])) < 400)
    again = board.ask(*ask, seq=board.seq)
    check("a request that comes twice is answered from memory and not executed again", again == counts)
    check("with a new number it is executed again", board.ask(*ask) != counts)

    millikelvin, _, uptime = struct.unpack("<IIQ", board.ask(SENSE))
    check("the temperature is that of a room", 285_000 < millikelvin < 310_000, f"{millikelvin / 1000 - 273.15:.3f} °C")
    check("uptime goes on", struct.unpack("<IIQ", board.ask(SENSE))[2] > uptime)

    damaged = bytearray(frame(PARK, 4711))
    damaged[6] ^= 0x10
    board.wire.write(bytes(damaged))
    answer = board.answer(0.3)
    check("a damaged request is not carried out", answer is None or answer[0] == NAK, f"{answer}")
    check("and changes nothing", board.read(actuators) == staged)
    board.wire.write(b"garbage" + b"\0" + frame(READ, 4712, struct.pack("<HB", 0, 1)))
    answer = board.answer()
    while answer and answer[0] == NAK:
        answer = board.answer()
    check("after garbage the next frame is understood", answer and answer[:2] == (READ | 0x80, 4712), f"{answer}")
    board.wire.write(frame(PARK, 4713, version=2))
    answer = board.answer(0.5)
    check("another version is refused", answer and answer[0] == NAK and answer[2][0] == 3, f"{answer}")
    check("and changes nothing either", board.read(actuators) == staged)

    check("the watchdog is armed", board.ask(WATCHDOG, struct.pack("<H", 150)) == struct.pack("<H", 150))
    check("and says so", board.hello()["flags"] & 2 == 2)
    time.sleep(0.4)
    told = board.hello()
    check("a silent host trips it", told["flags"] & 1 == 1 and any(event[1] == 2 for event in board.events), f"{board.events}")
    check("and every code is 0", board.read(actuators) == [0] * actuators)
    check("a tripped board takes no commit", board.ask(STAGE, struct.pack("<HBH", 0, 1, 5)) == 10
          or board.commit(staged) == 10, NAK_CODES[10])
    check("parking arms it again", len(board.ask(PARK)) == 4 and board.hello()["flags"] & 1 == 0)
    board.ask(WATCHDOG, struct.pack("<H", 0))
    board.by_pieces(STAGE, codes)
    check("and it takes a new image", len(board.commit(codes)) == 4 and board.read(actuators) == codes)
    check("parking zeroes every code", len(board.ask(PARK)) == 4 and board.read(actuators) == [0] * actuators)
    board.wire.close()


def main():
    with emulated(sys.argv[1], "configs/emulated-board.toml") as devices:
        boards = [device for device in devices if device["protocol"] == "board"]
        check("a board on a pty and one on TCP",
              any("path" in board for board in boards) and any("address" in board for board in boards), f"{devices}")
        for board in boards:
            check_one(board)
    closing_line()


main()
