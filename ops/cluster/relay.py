"""Forwards the frames between two network interfaces, each one later: what tc's netem does, on a kernel without it."""

import collections
import select
import socket
import sys
import time

EVERY_PROTOCOL = 3
OUTGOING = 4
LARGEST = 65_536


def bound(interface):
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
    found.bind((interface, EVERY_PROTOCOL))
    found.setblocking(False)
    return found


def forward(first, second, delay):
    """Runs until it is killed. Frames stay in order in each direction."""
    ends = {first: second, second: first}
    waiting = collections.deque()
    while True:
        timeout = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        for end in select.select(list(ends), [], [], timeout)[0]:
            frame, address = end.recvfrom(LARGEST)
            if address[2] != OUTGOING:
                waiting.append((time.monotonic() + delay, ends[end], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, end, frame = waiting.popleft()
            try:
                end.send(frame)
            except OSError:
                pass  # A full queue drops frames, as a network does.


if __name__ == "__main__":
    forward(bound(sys.argv[1]), bound(sys.argv[2]), int(sys.argv[3]) / 1000)
