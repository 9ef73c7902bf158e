"""Runs two workloads alternately for half a second each, one frozen while the other runs, so that changes of the
machine's speed affect both alike."""

import os
import random
import signal
import subprocess
import threading
import time

TURN = 0.5
# The stages of a job after encoding.
AFTER = ("verifying", "delivering")


class Commands:
    """Command lines, one after the other."""

    def __init__(self, *commands):
        self.waiting, self.process, self.peak = list(commands), None, 0.0

    def start(self):
        self.process = subprocess.Popen(self.waiting.pop(0), stdout=subprocess.DEVNULL)

    def freeze(self):
        # Not with Popen, which would reap the exit status that `ended` waits for.
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def ended(self):
        """True once the last one has ended; records the peak memory of all of them in MiB."""
        pid, status, used = os.wait4(self.process.pid, os.WNOHANG)
        if pid == 0:
            return False
        assert status == 0, self.process.args
        self.process.returncode = 0
        self.peak = max(self.peak, used.ru_maxrss / 1024)
        if self.waiting:
            self.start()
            return False
        return True


class Jobs:
    """Jobs of a stack, all submitted at once; with it the stack's own process is frozen."""

    def __init__(self, stack, *bodies, path="/convert"):
        self.stack, self.bodies, self.path = stack, bodies, path
        # Whether all encoding is done and only verification and delivery are left; the seconds until then.
        self.is_made, self.made = False, None

    def start(self):
        made = [self.stack.submit(body, self.path) for body in self.bodies]
        self.waiter = threading.Thread(target=self.wait, args=[made])
        self.waiter.start()

    def wait(self, made):
        while (progress := min(self.encoded(job) for job in made)) < 100:
            # Polling costs some milliseconds on both cores, so it is frequent only near the end.
            time.sleep(1 if progress < 90 else 0.1)
        self.is_made = True
        self.done = [self.stack.ended(job) for job in made]

    def encoded(self, job):
        """The encoded part of a job in percent."""
        now = self.stack.call("GET", f"/jobs/{job['id']}")[1] or {}
        over = now.get("stage") in AFTER or now.get("status") in ("completed", "failed", "cancelled")
        return 100 if over else min(now.get("progress") or 0, 99)

    def freeze(self):
        # First the process that could start others.
        self.stack.process.send_signal(signal.SIGSTOP)
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)
        self.stack.process.send_signal(signal.SIGCONT)

    def signal(self, what):
        for child in self.stack.children("media-child"):
            try:
                os.kill(child, what)
            except ProcessLookupError:
                pass

    def ended(self):
        if self.waiter.is_alive():
            return False
        assert all(job["status"] == "completed" for job in self.done), self.done
        return True


def turns(ours, theirs):
    """The running seconds of each from its start to its end; `ours.made` is the time when encoding was done."""
    works = [ours, theirs]
    random.shuffle(works)
    took, frozen = {ours: 0.0, theirs: 0.0}, []
    try:
        while works:
            work = works.pop(0)
            start = time.monotonic()
            if work in frozen:
                frozen.remove(work)
                work.thaw()
            else:
                work.start()
            # Random lengths of turns avoid synchronisation with the workload.
            until = start + TURN * random.uniform(0.8, 1.2)
            while not (ended := work.ended()) and time.monotonic() < until:
                time.sleep(0.005)
                if work is ours and ours.is_made and ours.made is None:
                    ours.made = took[ours] + time.monotonic() - start
            if not ended:
                frozen.append(work)
                work.freeze()
                works.append(work)
            took[work] += time.monotonic() - start
    finally:
        # When one of them has failed, the other must still be able to end.
        for work in frozen:
            work.thaw()
    return took[ours], took[theirs], ours.made or took[ours]
