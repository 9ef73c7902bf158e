"""A client that does what the API's documentation asks of one: it repeats a request under its key until the answer is known."""

import http.client
import json
import time

# Without an answer for so long, a command counts as one whose outcome is unknown.
GIVE_UP = 120
TIMEOUT = 20
# Outcomes that a client repeats: no answer, busy, unavailable.
REPEATED = {0, 429, 500, 502, 503, 504}


class History:
    """Every request and its answer, as JSON lines; times are of the monotonic clock and of the wall clock."""

    def __init__(self, path):
        self.file = open(path, "a", buffering=1)

    def add(self, **record):
        self.file.write(json.dumps(record) + "\n")


def exchange(address, method, path, body, headers):
    """One request: status (0 without an answer), headers, body."""
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        return answer.status, answer.headers, data
    except (OSError, http.client.HTTPException) as error:
        return 0, {}, repr(error).encode()
    finally:
        connection.close()


class Client:
    """Sends commands to the gateways in turn."""

    def __init__(self, addresses, key, history):
        self.addresses, self.key, self.history = addresses, key, history

    def once(self, gateway, method, path, body=None, idempotency=None):
        headers = {"X-API-Key": self.key}
        if isinstance(body, dict):
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        elif body is not None:
            headers["Content-Type"] = "application/octet-stream"
        if idempotency:
            headers["Idempotency-Key"] = f'"{idempotency}"'
        address = self.addresses[gateway % len(self.addresses)]
        status, headers, data = exchange(address, method, "/api/v1" + path, body, headers)
        try:
            return status, headers, json.loads(data or b"null")
        except ValueError:
            return status, headers, data.decode(errors="replace")

    def raw(self, path):
        """What a path serves."""
        return exchange(self.addresses[0], "GET", path, None, {"X-API-Key": self.key})

    def command(self, op, kind, method, path, body=None, repeated_by_key=True, gateway=0):
        """Repeats a command until it is acknowledged or refused; returns its status and answer, 0 if that is unknown."""
        begin, attempt = time.monotonic(), 0
        while True:
            sent = time.monotonic()
            key = f"{op}-{kind}" if repeated_by_key else None
            status, headers, answer = self.once(gateway + attempt, method, path, body, key)
            found = answer if isinstance(answer, dict) else {}
            found = found.get("job", found)
            self.history.add(
                op=op,
                kind=kind,
                path=path,
                attempt=attempt,
                gateway=(gateway + attempt) % len(self.addresses),
                begin=sent,
                end=time.monotonic(),
                at=time.time(),
                status=status,
                id=found.get("id"),
                jobs=found.get("jobs") if kind == "batch" else None,
                position=headers.get("X-Log-Position"),
                error=str(answer)[:300] if status not in (200, 201, 202, 204) else None,
            )
            # A creation that is answered with "not found" is a fault, which the checker reports; the client goes on.
            if status not in REPEATED and not (status == 404 and repeated_by_key):
                return status, found
            if time.monotonic() - begin > GIVE_UP:
                return 0, None
            attempt += 1
            time.sleep(min(1.0, 0.1 * attempt))
