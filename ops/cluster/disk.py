"""A disk of a machine, by `disk.c`: its power can be cut, and it can be slow, full or failing."""

import os
import signal
import struct
import subprocess
import time
from pathlib import Path

SOURCE = Path(__file__).with_name("disk.c")


def build(folder):
    """Compiles the file system, and returns the program."""
    program = folder / "disk"
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "fuse3"], check=True, capture_output=True, text=True)
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, SOURCE, *flags.stdout.split()], check=True)
    return program


class Disk:
    """A mounted disk; `path` is where its files are."""

    def __init__(self, program, folder):
        self.program, self.path = program, folder / "disk"
        self.stored, self.control = folder / "stored", folder / "disk.control"
        for path in (self.path, self.stored):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o755)
        self.mount()

    def mount(self):
        self.set()
        log = open(self.control.with_suffix(".log"), "ab")
        self.process = subprocess.Popen([self.program, self.stored, self.path, self.control], stdout=log, stderr=log)
        end = time.monotonic() + 20
        while not os.path.ismount(self.path):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.path} cannot be mounted; is /dev/fuse there?")
            time.sleep(0.01)

    def set(self, slow_ms=0, full=False, failing=False):
        """How the disk behaves from now on."""
        data = struct.pack("=iii", slow_ms, full, failing)
        file = os.open(self.control, os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(file, data, 0)
        os.close(file)

    def cut(self):
        """The power is lost, with all that was not synced. Its programs must have been killed."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        subprocess.run(["umount", "--lazy", self.path], check=True)
