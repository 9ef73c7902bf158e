"""What read-your-writes costs: reads of one job at two gateways, of which one asks the log nothing."""

import os
import statistics
import subprocess
import time
import urllib.request

from keys import free_port
from stack import FFAPI, row

TURNS = 3


class Gateway:
    """A gateway with the servers of a running instance."""

    def __init__(self, stack, consistency):
        self.port = free_port()
        settings = stack.settings() | stack.limits() | {
            "FFAPI_GATEWAY__LISTEN": f"127.0.0.1:{self.port}", "FFAPI_GATEWAY__CONSISTENCY": consistency,
            "FFAPI_METRICS__LISTEN": "",
        }
        self.process = subprocess.Popen([FFAPI, "gateway"], env=os.environ | settings, stderr=subprocess.DEVNULL)
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready").close()
                return
            except OSError:
                time.sleep(0.05)


def rows(stack, job, wrk):
    """The rate of reads with nothing pending, in turns."""
    gateways = {name: Gateway(stack, name) for name in ("read-your-writes", "eventual")}
    rates = {name: [] for name in gateways}
    try:
        for _ in range(TURNS):
            for name, gateway in gateways.items():
                rates[name].append(wrk(f"/api/v1/jobs/{job}", 5, port=gateway.port)[0])
    finally:
        for gateway in gateways.values():
            gateway.process.terminate()
            gateway.process.wait()
    with_it, without = (statistics.median(rates[name]) for name in gateways)
    row("read a job with / without read-your-writes", f"{with_it / without:.2f} ({with_it:.0f}/s / {without:.0f}/s)",
        ">= 0.9")
