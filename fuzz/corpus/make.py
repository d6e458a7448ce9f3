"""Makes the corpus of the board targets: python3 make.py (needs the package cobs)."""
import struct, zlib
from pathlib import Path
from cobs import cobs

def frame(kind, seq, payload=b"", version=1):
    body = struct.pack("<BBH", version, kind, seq) + payload
    return cobs.encode(body + struct.pack("<I", zlib.crc32(body))) + b"\0"

def block(first, codes):
    return struct.pack(f"<HB{len(codes)}H", first, len(codes), *codes)

image = [1, 2, 3, 0, 256, 7]
staged = zlib.crc32(struct.pack("<6H", *image))
session = b"".join([
    frame(1, 1), frame(10, 2, block(0, [300] * 6)), frame(11, 3, struct.pack("<HB", 0, 6)),
    frame(2, 4, block(0, image)), frame(3, 5, struct.pack("<I", staged)), frame(3, 5, struct.pack("<I", staged)),
    frame(4, 6, struct.pack("<HB", 0, 6)), frame(5, 7, struct.pack("<H", 100)),
    frame(6, 8, bytes([2, 1]) + struct.pack("<2h", -1, 255)), frame(8, 9), frame(9, 10),
])
refused = frame(1, 1, version=2) + frame(0x33, 2) + frame(2, 3, block(5, [1, 1])) + frame(2, 4, block(0, [1])) + frame(1, 5)[:-3] + b"\0"
event = frame(7, 0, struct.pack("<HBHi", 0, 2, 0, 101))
long = frame(2, 1, block(0, list(range(60))))
hello = frame(0x81, 1, struct.pack("<4B3H4BH2IB", 0, 1, 0, 1, 6, 2, 3, 8, 8, 8, 0, 96, 77, 0, 3) + b"toy")
files = {"session": session, "refused": refused, "event": event, "long": long, "hello": hello, "garbage": bytes(range(256)) + session[:40]}
# The firmware target takes the first of every five bytes as a pause.
paced = b"".join(b"\1" + session[i:i + 4] for i in range(0, len(session), 4))
here = Path(__file__).parent
for name, data in files.items():
    (here / "board_frame" / f"{name}.bin").write_bytes(data)
for name, data in {**files, "paced": paced, "silent": paced + b"\xff\0\0\0\0" * 3}.items():
    (here / "board_firmware" / f"{name}.bin").write_bytes(data)
