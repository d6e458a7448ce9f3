"""Makes the corpus of all targets: python3 make.py (needs the package cobs)."""
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

# Answers of a Qontrol chain as they were recorded, and requests in text and in binary (even parity of the header).
answers = ["OK", "\x06OK", "E11:03", "+4.5000 V", "-0.0038 mA", "8", "v2.4.1", "Q8iv-0001: 0", "Q8iv-****: 1", "141177 s", "+12.0000V"]
binary = b"".join([
    bytes([0x81, 0, 0, 0, 3, 0x60, 0]), bytes([0xA9, 0, 0, 0, 0, 0, 0]), bytes([0x82, 0, 0, 0, 6, 0, 2, 1, 2, 3, 4]),
    bytes([0xA0, 2, 0, 0, 0, 0x80, 0]), bytes([0x99, 1, 0, 3, 2, 0, 0]), bytes([0x80, 0, 0, 0, 0, 0, 0]), bytes([0x82, 0, 0, 0, 0, 0x40, 0]),
])
requests = {
    "identify": b"id?\nnupall?\nnup=0\nvfull?\nifullall?\nnchan?\nfirmware?\nlifetime?\nlog?\n",
    "write": b"vmax3=4.5\nimaxall=20\nv3=4.4\nvvec0=1,2,3,4,5,6,7,8\nvvec0=" + b",".join([b"1"] * 16) + b"\nvall=2\nv3=0\ni2=5\ni0=5\n",
    "read": b"vall?\nv3?\nvipall?\nvmaxall?\ni8?\ni99?\nv=?\nnonsense\n",
    "far": b"v18446744073709551615=1\ni18446744073709551615?\nvvec18446744073709551614=1,2,3\nid18446744073709551615?\n",
    "binary": binary, "mixed": b"v3=1\n" + binary + b"vall?\nv" + binary,
}
for index, line in enumerate(answers):
    (here / "qontrol_line" / f"{index:02}.bin").write_bytes(line.encode("ascii"))
for name, data in requests.items():
    (here / "qontrol_device" / f"{name}.bin").write_bytes(b"\5" + data)

# What instruments send, and what they are sent; the first byte of the latter chooses the instrument.
singles = struct.pack("<4f", 1e-6, 2.5, -3, 3.4e38)
received = {
    "block": b"#216" + singles + b"\r\n" + b" " * 40, "short": b"#216" + singles[:7], "empty": b"#10\n" + b" " * 8, "endless": b"#0" + singles,
    "huge": b"#9999999999" + singles, "numbers": b"+1.250E-03,-1.5,9.91E37,NAN,+INF,12;+0,\"No error\"\n", "idn": b"KEITHLEY INSTRUMENTS,MODEL 2450,04000001,1.7.12b\r\n",
}
common = b"*IDN?;*CLS;*ESE 32;*ESR?;*OPC?;*STB?\r\nSYST:ERR?\n:nonsense:7 'a;b'\nSYSTem:ERRor:NEXT?\n*RST\n"
sent = [
    b"SENS1:POW:UNIT 1;WAV 1550NM;ATIM 1MS;RANG:AUTO 0\nSENS2:CHAN1:POW:RANG -20 DBM\nREAD1:POW?\nREAD:POW:ALL?\nREAD:POW:ALL:CONF?\n",
    b":SOUR:FUNC VOLT\n:SOUR:VOLT:RANG:AUTO 1\n:SOUR:VOLT:ILIM 0.02\n:SOUR:VOLT:LEV 1.5\nOUTPUT ON\n:SENS:FUNC 'CURR'\n:READ?\n*LANG?\n:SENS:CURR:NPLC 0.1\n",
    b"SOUR1:FUNC DC\r\nSOUR1:VOLT 0.5\r\nSOUR1:VOLT:OFFS 0.1\r\nOUTPUT1:STATE ON\r\nACQ:RST\r\nACQ:DEC 8\r\nACQ:DATA:UNITS VOLTS\r\nACQ:DATA:FORMAT BIN\r\n"
    b"ACQ:SOUR1:GAIN LV\r\nACQ:START\r\nACQ:TRIG NOW\r\nACQ:TRIG:STAT?\r\nACQ:TRIG:FILL?\r\nACQ:SOUR1:DATA:OLD:N? 5\r\n",
    b"WAV 1.55E-6\nWAV?\nPOW:UNIT 0\nPOW 3\nPOW:STAT 1\nPOW:ACT?\nSYST:COMM:COD?\nWAV:SWE:RANG:MAX?\n", b"WAV 1550.5\nWAV?\nPOW:UNIT 1\nPOW 3.5MW\nPOW?\nPOW:SHUT 0\nWAV:FREQ:MIN?\n",
    b"T25000\nT?\nTe?\nA?\nU?\nL900\nL?\nL5000\nE?\nc\nP100\nI?\nM\nx\nm?\nu?\n",
]
for name, data in received.items():
    (here / "scpi_block" / f"{name}.bin").write_bytes(data)
for index, data in enumerate(sent):
    (here / "scpi_device" / f"{index}.bin").write_bytes(bytes([index]) + data + common)
