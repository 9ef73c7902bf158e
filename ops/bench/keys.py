"""How soon a revoked key is rejected everywhere: revoked at one gateway, used at another."""

import http.client
import os
import socket
import statistics
import subprocess
import time

from stack import FFAPI, row

KEYS = 60


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def status(connection, secret):
    connection.request("GET", "/api/v1/queue", headers={"X-API-Key": secret})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def rows(stack):
    """The time from the response of the revocation to the rejection at the other gateway."""
    port = free_port()
    other = subprocess.Popen(
        [FFAPI, "gateway"], stderr=subprocess.DEVNULL,
        env=os.environ | stack.settings() | stack.limits() | {"FFAPI_GATEWAY__LISTEN": f"127.0.0.1:{port}"})
    try:
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port)
                if status(connection, stack.key) == 200:
                    break
            except OSError:
                time.sleep(0.05)
        waits = []
        for _ in range(KEYS):
            made = stack.call("POST", "/api-keys", {"name": "bench", "scopes": ["jobs:read"]})[1]
            while status(connection, made["secret"]) != 200:
                pass
            stack.call("POST", f"/api-keys/{made['id']}/revoke", {})
            start = time.monotonic()
            while status(connection, made["secret"]) == 200:
                pass
            waits.append((time.monotonic() - start) * 1000)
    finally:
        other.terminate()
        other.wait()
    waits.sort()
    row("key revoked: answered to refused at another gateway",
        f"p50 {statistics.median(waits):.1f} ms, p99 {waits[int(len(waits) * 0.99)]:.1f} ms", "p99 <= 100 ms")
