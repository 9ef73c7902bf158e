"""Checks of every response."""

import os

import schemathesis

MARK = os.environ.get("MARK", "")
CLOSED = os.environ.get("CLOSED", "")
OPEN = ("/health", "/docs", "/openapi.json")

# The media type of tus.
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


@schemathesis.check
def is_a_problem(_, response, case):
    """Errors are application/problem+json with their status, and contain no panic message."""
    if response.status_code < 400 or response.request.method == "HEAD":
        return
    kind = response.headers.get("content-type", [""])[0]
    assert kind == "application/problem+json", f"{response.status_code} as {kind}"
    body = response.json()
    assert body["status"] == response.status_code and body["request_id"], body
    # Strings of this file are used as input too, and an error quotes the rejected input.
    sent = str(case.body) + response.request.url + str(response.request.headers)
    assert "panicked at" in sent or "panicked at" not in response.text


@schemathesis.check
def leaks_nothing(_, response, case):
    """No response contains data of another tenant that was not in the request."""
    if MARK and MARK not in str(case.body) + response.request.url:
        assert MARK not in response.text, "the response contains data of another tenant"


@schemathesis.check
def rejects_unauthenticated(_, response, case):
    """Without a valid key, only the public paths can be used."""
    path = case.path.removeprefix("/api/v1")
    if CLOSED and not path.startswith(OPEN):
        assert response.status_code >= 400, f"{response.status_code} at {path}"
    if CLOSED and path == "/health/detailed":
        assert response.status_code == 401
