"""After the load: waits for every job to end, then writes down the final state, from NATS and from the API."""

import hashlib
import json
import time

import servers
from fleet import TENANT, until

ENDS = frozenset({"job.completed", "job.failed", "job.cancelled"})
# More than the longest wait between two attempts of a job.
SETTLING = 240


def settle(fleet):
    """Waits until replicas are up to date and no job is open; returns the jobs that are open nevertheless."""

    def current():
        try:
            with fleet.operator() as nats:
                return servers.current(nats)
        except Exception:
            return False

    until(current, SETTLING, "replicas that are up to date")
    until(fleet.ready, SETTLING, "gateways that are ready")
    end = time.monotonic() + SETTLING
    while True:
        events = replay(fleet)
        submitted = {subject(event) for event in events if "job.submitted" in event["event"] and not postponed(event)}
        ended = {subject(event) for event in events if not ENDS.isdisjoint(event["event"])}
        if submitted <= ended or time.monotonic() > end:
            return sorted(submitted - ended)
        time.sleep(2)


def subject(event):
    return event["subject"].rsplit(".", 1)[1]


def postponed(event):
    """Whether a job waits for a time in the far future, because the client lost sight of it."""
    return (event["event"]["job.submitted"]["spec"].get("not_before") or "") > "2900"


def replay(fleet):
    printed = fleet.operate("projector-1", "replay", role="projector")
    return [json.loads(line) for line in printed.splitlines()]


def digests(nats):
    """What each server has as the log up to now: a digest by server, and the messages of the last one asked."""
    found, last = {}, nats.info("EVENTS")["state"]["last_seq"]
    for name in servers.NATS:
        # A follower becomes the leader, since only a leader answers for its own copy.
        def leads():
            if nats.info("EVENTS")["cluster"].get("leader") == name:
                return True
            try:
                nats.api("STREAM.LEADER.STEPDOWN.EVENTS", {"placement": {"preferred": name}})
            except Exception as error:
                print("stepdown:", error)
            return False

        until(leads, 60, f"{name} as the leader")
        hasher, messages = hashlib.sha256(), []
        for sequence, where, headers, data in nats.messages("EVENTS", last=last):
            hasher.update(repr((sequence, where, headers, data)).encode())
            command = next((line[12:] for line in headers.decode().splitlines() if line.startswith("Command-Id: ")), None)
            messages.append((sequence, where, command))
        found[name] = hasher.hexdigest()
    return found, messages


def outputs(client, jobs):
    """For each completed job its outputs as the API lists them, with the SHA-256 of what it serves."""
    found = {}
    for job in jobs:
        status, _, answer = client.once(0, "GET", f"/jobs/{job}/outputs")
        listed = answer.get("data", []) if status == 200 else []
        for output in listed:
            status, headers, data = client.raw(output["url"])
            output["served"] = hashlib.sha256(data).hexdigest() if status == 200 else status
        found[job] = {"status": status, "outputs": listed}
    return found


def gather(fleet, client, folder):
    open_jobs = settle(fleet)
    with fleet.operator() as nats:
        copies, messages = digests(nats)
    events = replay(fleet)
    completed = [subject(event) for event in events if "job.completed" in event["event"]]
    listed = {}
    for job in {subject(event) for event in events if "job.submitted" in event["event"]}:
        status, _, answer = client.once(1, "GET", f"/jobs/{job}")
        listed[job] = answer.get("status") if status == 200 else status
    final = {
        "open": open_jobs,
        "copies": copies,
        "messages": messages,
        "outputs": outputs(client, completed),
        "jobs": listed,
        "checks": checks(fleet, folder),
        "tenant": TENANT,
    }
    with open(folder / "events.jsonl", "w") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
    (folder / "final.json").write_text(json.dumps(final))


def checks(fleet, folder):
    """The product's own checks: the hash chain, and read models compared with a rebuild of the log."""
    found = {}
    key, store = folder / "backup.key", folder / "backup"

    def tried(name, *arguments, role="projector"):
        try:
            found[name] = {"ok": True, "printed": fleet.operate("projector-1", *arguments, role=role)}
        except RuntimeError as error:
            found[name] = {"ok": False, "printed": str(error)}
        return found[name]

    tried("hash chain", "audit", "verify")
    public = tried("backup key", "backup", "key", "--out", key)["printed"].split()
    recipient = next((word for word in public if word.startswith("age1")), "")
    tried("backup", "backup", "create", "--store", store, "--recipient", recipient, role="operate")
    tried("read models", "backup", "verify", "--store", store, "--identity", key, role="operate")
    return found
