"""Many jobs and many clients at once: a batch, webhooks, streams."""

import asyncio
import os
import resource
import socket
import subprocess
import threading
import time

from stack import BUNNY, FFAPI, row, rss

READERS = 5_000
LATER = "2099-01-01T00:00:00Z"


def until(wanted):
    while not wanted():
        time.sleep(0.02)


def batch(stack):
    """A thousand probes of a small file, each in its own sandbox."""
    film = stack.upload(BUNNY)
    body = {"jobs": [{"kind": "probe", "input": film}] * 1000, "max_parallel": 20}
    start = time.monotonic()
    made = stack.call("POST", "/batch", body)[1]
    answered = time.monotonic() - start
    until(lambda: stack.call("GET", f"/batch/{made['id']}")[1]["status"] != "processing")
    took = time.monotonic() - start
    row("batch of 1000 probes", f"answered after {answered * 1000:.0f} ms, {1000 / took:.0f} jobs/s to the end", "")


class Receiver:
    """Receives webhooks and counts them."""

    def __init__(self):
        self.taken = 0
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve(ready)), daemon=True).start()
        ready.wait()

    async def serve(self, ready):
        server = await asyncio.start_server(self.take, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()

    async def take(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        self.taken += 1
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


def webhooks(stack):
    """A thousand events for each of ten endpoints."""
    receiver = Receiver()
    hooks = [stack.call("POST", "/webhooks", {"url": f"http://127.0.0.1:{receiver.port}/{n}", "concurrency": 16,
                                              "events": ["job.queued"]})[1]["id"] for n in range(10)]
    film = {"kind": "probe", "input": "none.mp4", "not_before": LATER}
    start = time.monotonic()
    made = stack.call("POST", "/batch", {"jobs": [film] * 1000})[1]
    until(lambda: receiver.taken >= 10_000)
    row("webhooks, 10 endpoints", f"{receiver.taken / (time.monotonic() - start):.0f} deliveries/s", "")
    for hook in hooks:
        stack.call("DELETE", f"/webhooks/{hook}")
    stack.call("POST", f"/batch/{made['id']}/cancel", {})


def streams(stack):
    """Idle readers of one job at a separate gateway; then one event for all of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | stack.settings() | stack.limits() | {"FFAPI_GATEWAY__LISTEN": f"127.0.0.1:{port}"}
    gateway = subprocess.Popen([FFAPI, "gateway"], stderr=subprocess.DEVNULL, env=env)
    job = stack.call("POST", "/probe", {"input": "none.mp4", "not_before": LATER})[1]["job"]["id"]
    asked = (f"GET /api/v1/jobs/{job}/events HTTP/1.1\r\nhost: x\r\nx-api-key: {stack.key}\r\n\r\n").encode()
    readers = []
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        time.sleep(1)
        before = rss(gateway.pid)
        for _ in range(READERS):
            reader = socket.create_connection(("127.0.0.1", port))
            reader.sendall(asked)
            readers.append(reader)
        for reader in readers:
            while b"job.queued" not in reader.recv(65536):
                pass
        row(f"streams: {READERS} idle readers", f"{rss(gateway.pid):.0f} MiB, {before:.0f} before them", "<= 200 MiB")
        start = time.monotonic()
        stack.call("PATCH", f"/jobs/{job}", {"priority": "high"})
        times = []
        for reader in readers:
            while b"job.priority_changed" not in reader.recv(65536):
                pass
            times.append(time.monotonic() - start)
        row("streams: one event to all of them", f"the first after {times[0] * 1000:.0f} ms, all after "
            f"{times[-1] * 1000:.0f} ms", "")
    finally:
        for reader in readers:
            reader.close()
        gateway.terminate()
        gateway.wait()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    stack.call("POST", f"/jobs/{job}/cancel", {})


def rows(stack):
    batch(stack)
    webhooks(stack)
    streams(stack)
