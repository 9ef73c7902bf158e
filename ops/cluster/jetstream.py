"""A client of NATS for the harness and its checker: requests to JetStream's API, without any code of ffapi."""

import base64
import json
import os
import socket


class ApiError(Exception):
    """JetStream rejected a request."""


class Connection:
    """One connection; used by one thread."""

    def __init__(self, address, user, password, timeout=5):
        self.socket = socket.create_connection((address, 4222), timeout=timeout)
        self.lines = self.socket.makefile("rb")
        self.inbox = f"_INBOX.{user}.{os.urandom(6).hex()}"
        self.lines.readline()
        login = {"user": user, "pass": password, "verbose": False, "headers": True, "no_responders": True}
        self.send(f"CONNECT {json.dumps(login)}\r\nSUB {self.inbox}.* 1\r\nPING\r\n".encode())
        answer = self.lines.readline()
        while not answer.startswith(b"PONG"):
            if not answer or answer.startswith(b"-ERR"):
                raise OSError(f"nats: {answer.decode().strip()}")
            answer = self.lines.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The next message: the last token of its subject, its headers and its payload."""
        while True:
            line = self.lines.readline()
            if not line:
                raise OSError("nats closed the connection")
            if line.startswith(b"PING"):
                self.send(b"PONG\r\n")
            elif line.startswith((b"MSG", b"HMSG")):
                words = line.split()
                sizes = [int(word) for word in words[-2 if line.startswith(b"HMSG") else -1 :]]
                data = self.lines.read(sizes[-1] + 2)[:-2]
                head = sizes[0] if len(sizes) == 2 else 0
                return words[1].rsplit(b".", 1)[1].decode(), data[:head], data[head:]

    def publish(self, subject, body, reply):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send(f"PUB {subject} {self.inbox}.{reply} {len(data)}\r\n".encode() + data + b"\r\n")

    def api(self, verb, body=b""):
        """A request to the API and its response."""
        self.publish(f"$JS.API.{verb}", body, "api")
        _, head, data = self.receive()
        if b"503" in head:
            raise ApiError("no JetStream server responds")
        answer = json.loads(data)
        if "error" in answer:
            raise ApiError(f"{verb}: {answer['error']}")
        return answer

    def info(self, stream):
        return self.api(f"STREAM.INFO.{stream}")

    def messages(self, stream, first=1, last=None, window=200):
        """Every message of a stream as its leader has it: `(sequence, subject, headers, payload)`; a hole has no subject."""
        last = last or self.info(stream)["state"]["last_seq"]
        for start in range(first, last + 1, window):
            wanted = range(start, min(start + window, last + 1))
            for sequence in wanted:
                self.publish(f"$JS.API.STREAM.MSG.GET.{stream}", {"seq": sequence}, str(sequence))
            found = {}
            for _ in wanted:
                sequence, _, data = self.receive()
                found[int(sequence)] = json.loads(data).get("message")
            for sequence in wanted:
                message = found[sequence] or {}
                data, headers = (base64.b64decode(message.get(part, "")) for part in ("data", "hdrs"))
                yield sequence, message.get("subject"), headers, data
