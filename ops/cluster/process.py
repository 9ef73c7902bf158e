"""A process of the cluster on its machine, which can be killed, frozen and started again."""

import os
import signal
import subprocess


class Process:
    """A program that runs on a machine; `start` may be called again after it has ended."""

    def __init__(self, name, machine, command, env, logs, user=None, faketime=None):
        self.name, self.machine, self.env, self.user = name, machine, env, user
        self.program, self.log = command, logs / f"{name}.log"
        self.clock = logs / f"{name}.clock"
        self.faketime = faketime
        self.running = None

    def start(self):
        env = {"PATH": os.environ["PATH"]} | self.env
        if self.faketime:
            self.clock.write_text("+0\n")
            env |= {
                "LD_PRELOAD": self.faketime,
                "FAKETIME_TIMESTAMP_FILE": str(self.clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        log = open(self.log, "ab")
        self.running = subprocess.Popen(
            self.machine.command(self.program, self.user),
            env={name: str(value) for name, value in env.items()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def signal(self, which):
        self.running.send_signal(which)

    def kill(self):
        """Kills it and its children, as the loss of its machine does."""
        if self.running.poll() is None:
            os.killpg(self.running.pid, signal.SIGKILL)
        self.running.wait()

    def stop(self, seconds=60):
        """Asks it to stop, and kills it if it does not. Returns its exit status."""
        self.running.terminate()
        try:
            return self.running.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def alive(self):
        return self.running is not None and self.running.poll() is None

    def shift_clock(self, seconds):
        """Moves its wall clock, not its monotonic one; it must have been created with `faketime`."""
        self.clock.write_text(f"{seconds:+d}\n")
