"""Starts `alora emulate` and tells where its devices are."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import termios
import time
import tty

from oracle import ROOT


@contextlib.contextmanager
def emulated(binary, station, *arguments):
    """The announcements of `alora emulate station`, as long as the block lasts; it must then end well on SIGINT."""
    command = [str(binary), "emulate", station, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        if not line:
            sys.exit(f"FAILED: {' '.join(command)}: exit {process.wait()}")
        yield json.loads(line)["devices"]
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=10)
    if code != 0:
        sys.exit(f"FAILED: {' '.join(command)}: exit {code} after SIGINT")


class Wire:
    """Bytes to and from an announced device."""

    def __init__(self, device):
        self.socket = None
        if "address" in device:
            host, port = device["address"].rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.file = self.socket.fileno()
        else:
            self.file = os.open(device["path"], os.O_RDWR | os.O_NOCTTY)
            tty.setraw(self.file, termios.TCSANOW)
        self.rest = b""

    def write(self, data):
        while data:
            data = data[os.write(self.file, data):]

    def read_until(self, delimiter, seconds=2.0):
        """Bytes up to the delimiter, which is left out; None when they do not come in time."""
        end = time.monotonic() + seconds
        while delimiter not in self.rest:
            ready, _, _ = select.select([self.file], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                return None
            more = os.read(self.file, 65536)
            if not more:
                return None
            self.rest += more
        frame, self.rest = self.rest.split(delimiter, 1)
        return frame

    def close(self):
        if self.socket:
            self.socket.close()
        else:
            os.close(self.file)
