"""Replaces the processes of a fleet under load, one after the other, and says what its clients saw."""

import collections
import json
import time

from fleet import until

# As docs/upgrades.md says.
ORDER = ("conductor-1", "projector-1", "gateway-1", "gateway-2", "worker-1", "worker-2")


def roll(fleet, label, pause):
    """Restarts each role with the program and the settings that the fleet has now; returns the steps."""
    steps = []
    for name in ORDER:
        step = {"fault": f"restart:{name}:{label}", "target": name, "begin": time.monotonic()}
        fleet.down.add(name)
        status = fleet.processes[name].stop()
        if status != 0:
            print(f"{name} ended with {status}, not 0")
        fleet.processes[name] = fleet.role(name, fleet.network.machines[name])
        fleet.processes[name].start()
        fleet.down.discard(name)
        step["mended"] = time.monotonic()
        until(fleet.ready, 60, "both gateways")
        step["whole"] = time.monotonic()
        steps.append(step)
        time.sleep(pause)
    return steps


def failures(fleet, folder):
    """Prints and counts the requests that failed, and processes that ended by themselves."""
    if fleet.restarts:
        print("ended by themselves:", fleet.restarts)
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    failed = [record for record in history if record["status"] in (401, 403) or record["status"] >= 500]
    for record in failed[:20]:
        print("FAILED:", record)
    refused = collections.Counter(record["error"] for record in history if record["status"] == 0)
    print(f"{len(failed)} failed requests; without an answer: {dict(refused)}")
    return len(failed) + len(fleet.restarts)
