"""The faults: each breaks something for some seconds, then mends it. Every random choice comes from the run's seed."""

import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import servers
from fleet import until

APPLICATION = ("gateway-1", "gateway-2", "worker-1", "worker-2", "conductor-1", "projector-1")
MEMORY = Path("/sys/fs/cgroup/memory")


@dataclass
class Fault:
    """One fault that is to be injected: what, where, for how many seconds."""

    name: str
    target: str
    seconds: float
    times: dict = field(default_factory=dict)

    def __str__(self):
        return f"{self.name}:{self.target}:{self.seconds:g}"

    @classmethod
    def parse(cls, text):
        name, target, seconds = text.split(":")
        return cls(name, target, float(seconds))


class Injector:
    """Injects faults into a fleet. Targets `leader` and `follower` are those of the log when the fault begins."""

    def __init__(self, fleet, chance):
        self.fleet, self.network, self.chance = fleet, fleet.network, chance

    def resolve(self, target):
        if target == "primary":
            return self.fleet.primary
        if target not in ("leader", "follower", "queue"):
            return target
        stream = "WORK" if target == "queue" else "EVENTS"
        with until(self.fleet.operator, 30, "NATS") as nats:
            leader = until(lambda: nats.info(stream)["cluster"].get("leader"), 30, "a leader")
        if target == "follower":
            return next(name for name in servers.NATS if name != leader)
        return leader

    def run(self, fault):
        """Injects a fault, holds it, mends it; the times are noted in the fault."""
        inject, mend = FAULTS[fault.name]
        target = self.resolve(fault.target)
        fault.times["target"], fault.times["begin"] = target, time.monotonic()
        inject(self, target)
        time.sleep(fault.seconds)
        mend(self, target)
        fault.times["mended"] = time.monotonic()

    def process(self, name):
        return self.fleet.processes[name]

    def others(self, name, group):
        return [other for other in group if other != name]

    # Processes.
    def kill(self, name):
        self.fleet.down.add(name)
        self.process(name).kill()

    def start(self, name):
        self.process(name).start()
        self.fleet.down.discard(name)

    def freeze(self, name):
        self.process(name).signal(signal.SIGSTOP)

    def thaw(self, name):
        self.process(name).signal(signal.SIGCONT)

    def kill_all_roles(self, _):
        for name in APPLICATION:
            self.kill(name)

    def start_all_roles(self, _):
        for name in APPLICATION:
            self.start(name)

    # Networks.
    def isolate(self, name):
        self.network.cut(name, self.others(name, self.network.machines))

    def part(self, name):
        """Between NATS servers only: clients still reach every one of them."""
        self.network.cut(name, self.others(name, servers.NATS))

    def lose(self, name):
        self.network.lose(name, 0.2)

    def heal(self, name):
        self.network.heal(name)

    def delay(self, name):
        self.network.delay(name, 150)

    def end_delay(self, name):
        self.network.end_delay(name)

    def forget_names(self, name):
        """Names are resolved no more, and the connections that exist break."""
        self.names = {machine.name: machine.hosts.read_text() for machine in self.network.machines.values()}
        for other in APPLICATION:
            self.network.machines[other].hosts.write_text("127.0.0.1 localhost\n")
        self.kill(name)

    def know_names(self, name):
        for other in APPLICATION:
            self.network.machines[other].hosts.write_text(self.names[other])
        self.start(name)

    # Disks.
    def fill(self, name):
        self.fleet.disks[name].set(full=True)

    def slow_down(self, name):
        self.fleet.disks[name].set(slow_ms=200)

    def fail_syncs(self, name):
        self.fleet.disks[name].set(failing=True)

    def mend_disk(self, name):
        self.fleet.disks[name].set()

    def replace_disk(self, name):
        """NATS does not use a disk again whose sync has failed, and must be started again."""
        self.mend_disk(name)
        self.kill(name)
        self.start(name)

    def cut_power(self, name):
        self.kill(name)
        self.fleet.disks[name].cut()

    def power_on(self, name):
        self.fleet.disks[name].mount()
        self.start(name)

    def cut_all_power(self, _):
        """All NATS servers and the primary Postgres, within milliseconds."""
        names = [*servers.NATS, self.fleet.primary]
        for name in names:
            self.kill(name)
        for name in names:
            self.fleet.disks[name].cut()

    def all_power_on(self, _):
        for name in (*servers.NATS, self.fleet.primary):
            self.power_on(name)

    def cut_power_in_turn(self, name):
        """
        Jepsen's recipe for a split brain (nats-server#7567): one follower is frozen while the other acknowledges; then the
        power of that one is lost, and the two that wake up are those which could have forgotten.
        """
        first, second = self.others(name, servers.NATS)
        self.freeze(first)
        time.sleep(4)
        self.cut_power(second)
        self.freeze(name)
        self.thaw(first)
        self.power_on(second)

    def lose_queue(self, _):
        """The queue is deleted: conductors create and fill it again."""
        with until(self.fleet.operator, 30, "NATS") as nats:
            nats.api("STREAM.DELETE.WORK")

    def put_queue_on_disk(self, _):
        with until(self.fleet.operator, 30, "NATS") as nats:
            servers.queue_on_disk(nats)

    def flip_bits(self, name):
        """Some bits of the log's copy on one server change (nats-server#7549), while it is down."""
        self.kill(name)
        folder = self.fleet.disks[name].path / "jetstream/jetstream/$G/streams/EVENTS/msgs"
        self.flip(sorted(folder.glob("*.blk"))[0])

    def flip_snapshots(self, name):
        """Likewise of the snapshots of Raft (nats-server#7556)."""
        self.kill(name)
        for path in (self.fleet.disks[name].path / "jetstream/jetstream/$SYS/_js_").glob("*/snapshots/*"):
            self.flip(path)

    def start_empty(self, name):
        """NATS refuses to start with a damaged snapshot: without its data, it takes everything from the others."""
        self.process(name).kill()
        shutil.rmtree(self.fleet.disks[name].path / "jetstream")
        self.start(name)

    def flip(self, path):
        data = bytearray(path.read_bytes())
        for _ in range(10):
            data[self.chance.randrange(len(data))] ^= 1 << self.chance.randrange(8)
        path.write_bytes(data)

    def wait(self, _):
        """It is repaired by others."""

    # Postgres.
    def promote(self, _):
        """The primary's machine is lost; its standby takes over, with its name."""
        lost = self.fleet.primary
        self.kill(lost)
        standby = next(name for name in self.fleet.postgres if name != lost)
        server = self.fleet.postgres[standby]
        server.run("pg_ctl", "promote", "-D", server.home)
        self.fleet.primary = standby
        self.network.name({"postgres": standby})

    def standby_again(self, _):
        """The lost machine comes back, empty, as the standby of the new primary."""
        lost = next(name for name in self.fleet.postgres if name != self.fleet.primary)
        primary = self.fleet.postgres[self.fleet.primary]
        until(lambda: primary.query("SELECT pg_is_in_recovery()") == "f", 30, "the promotion")
        self.fleet.postgres[lost].follow(primary)
        self.start(lost)

    # Clocks and memory.
    def clock_ahead(self, name):
        self.process(name).shift_clock(3600)

    def clock_back(self, name):
        self.process(name).shift_clock(-3600)

    def clock_right(self, name):
        self.process(name).shift_clock(0)

    def squeeze(self, name):
        """It gets 8 MiB more memory from now on: the kernel reclaims, or kills it."""
        group = MEMORY / f"ffapi-{name}"
        group.mkdir(exist_ok=True)
        (group / "memory.limit_in_bytes").write_text(str(8 * 1024 * 1024))
        (group / "cgroup.procs").write_text(str(self.process(name).running.pid))

    def release(self, name):
        group = MEMORY / f"ffapi-{name}"
        (group / "memory.limit_in_bytes").write_text("-1")
        for process in (group / "cgroup.procs").read_text().split():
            (MEMORY / "cgroup.procs").write_text(process)
        subprocess.run(["rmdir", group], check=False)


I = Injector
FAULTS = {
    "kill": (I.kill, I.start),
    "freeze": (I.freeze, I.thaw),
    "kill-roles": (I.kill_all_roles, I.start_all_roles),
    "isolate": (I.isolate, I.heal),
    "part": (I.part, I.heal),
    "loss": (I.lose, I.heal),
    "delay": (I.delay, I.end_delay),
    "names": (I.forget_names, I.know_names),
    "disk-full": (I.fill, I.mend_disk),
    "disk-slow": (I.slow_down, I.mend_disk),
    "disk-errors": (I.fail_syncs, I.replace_disk),
    "power": (I.cut_power, I.power_on),
    "power-in-turn": (I.cut_power_in_turn, I.thaw),
    "bits": (I.flip_bits, I.start),
    "bits-snapshots": (I.flip_snapshots, I.start_empty),
    "power-all": (I.cut_all_power, I.all_power_on),
    "lose-queue": (I.lose_queue, I.wait),
    "queue-on-disk": (I.put_queue_on_disk, I.wait),
    "postgres-promote": (I.promote, I.standby_again),
    "clock-ahead": (I.clock_ahead, I.clock_right),
    "clock-back": (I.clock_back, I.clock_right),
    "memory": (I.squeeze, I.release),
}
# It needs the first version of control groups.
if not (MEMORY / "cgroup.procs").exists():
    del FAULTS["memory"]

# What a random run draws from: fault and target. Each has the same chance.
SCHEDULE = [
    ("kill", "leader"), ("kill", "follower"), ("kill", "queue"), ("freeze", "leader"), ("freeze", "follower"),
    ("isolate", "leader"), ("isolate", "follower"), ("part", "leader"), ("loss", "leader"), ("delay", "leader"),
    ("names", "leader"), ("disk-full", "leader"), ("disk-slow", "leader"), ("disk-errors", "leader"),
    ("power", "leader"), ("power", "follower"), ("power-in-turn", "leader"), ("power-all", "all"), ("lose-queue", "all"), ("memory", "leader"),
    ("kill", "primary"), ("power", "primary"), ("isolate", "primary"), ("disk-full", "primary"),
    ("postgres-promote", "primary"),
    ("kill-roles", "all"),
    *[("kill", role) for role in APPLICATION],
    ("freeze", "gateway-1"), ("freeze", "worker-1"), ("freeze", "conductor-1"), ("freeze", "projector-1"),
    ("isolate", "gateway-1"), ("isolate", "worker-1"), ("isolate", "conductor-1"),
    ("clock-ahead", "conductor-1"), ("clock-back", "conductor-1"), ("clock-ahead", "gateway-1"),
    ("clock-back", "gateway-1"), ("clock-ahead", "worker-1"), ("clock-back", "worker-1"),
]


def draw(chance, count):
    """Faults in a random order, each once before any is drawn again."""
    drawn = []
    while len(drawn) < count:
        every = [(name, target) for name, target in SCHEDULE if name in FAULTS]
        chance.shuffle(every)
        drawn += [Fault(name, target, chance.choice([3, 8, 15])) for name, target in every]
    return drawn[:count]
