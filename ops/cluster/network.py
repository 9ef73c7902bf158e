"""The network of the cluster: a namespace for each machine, all on one bridge, in a namespace of the whole run."""

import subprocess
from pathlib import Path

SUBNET = "10.213.0"


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def plain(interface, prefix=()):
    """Has whole frames with their checksums on an interface, which `relay.py` needs."""
    command = [*prefix, "ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off"]
    subprocess.run(command, check=True, capture_output=True)


class Machine:
    """A machine of its own: network namespace, address, hosts file."""

    def __init__(self, name, number, folder):
        self.name, self.address = name, f"{SUBNET}.{number}"
        self.port, self.link = f"p{number}", f"e{number}"
        self.hosts = folder / f"{name}.hosts"
        self.relay = None
        self.hosts.write_text("")
        ip("netns", "add", name)
        ip("link", "add", self.port, "type", "veth", "peer", "name", self.link, "netns", name)
        ip("link", "set", self.port, "master", "switch", "up")
        ip("-n", name, "address", "add", f"{self.address}/24", "dev", self.link)
        ip("-n", name, "link", "set", self.link, "up")
        ip("-n", name, "link", "set", "lo", "up")
        plain(self.port), plain(self.link, ["ip", "netns", "exec", name])

    def command(self, command, user=None, private=()):
        """What runs a program on this machine; `private` has folders as `(source, target)` that only it sees there."""
        binds = [("/dev/null", "/etc/resolv.conf"), (self.hosts, "/etc/hosts"), *private]
        script = " && ".join(f"mount --bind '{source}' '{target}'" for source, target in binds)
        owner = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"] if user else []
        inner = ["sh", "-c", f'{script} && exec "$@"', "sh", *owner, *command]
        return ["nsenter", f"--net=/run/netns/{self.name}", "unshare", "--mount", "--", *(str(part) for part in inner)]

    def firewall(self, *rule):
        subprocess.run(["ip", "netns", "exec", self.name, "iptables", "-w", *rule], check=True)


class Network:
    """All machines by name, and who cannot reach whom."""

    def __init__(self, folder):
        self.folder, self.machines = folder, {}
        ip("link", "set", "lo", "up")
        ip("link", "add", "switch", "type", "bridge")
        ip("address", "add", f"{SUBNET}.254/24", "dev", "switch")
        ip("link", "set", "switch", "up")
        plain("switch")
        Path("/run/netns").mkdir(exist_ok=True)

    def add(self, name):
        machine = Machine(name, len(self.machines) + 1, self.folder)
        self.machines[name] = machine
        return machine

    def name(self, names=None):
        """Writes each machine's hosts file; `names` maps further names to machines."""
        lines = ["127.0.0.1 localhost"]
        lines += [f"{machine.address} {machine.name}" for machine in self.machines.values()]
        lines += [f"{self.machines[machine].address} {name}" for name, machine in (names or {}).items()]
        for machine in self.machines.values():
            machine.hosts.write_text("\n".join(lines) + "\n")

    def cut(self, name, others):
        """Drops what a machine receives from these others and sends to them."""
        for other in others:
            address = self.machines[other].address
            self.machines[name].firewall("-A", "INPUT", "-s", address, "-j", "DROP")
            self.machines[name].firewall("-A", "OUTPUT", "-d", address, "-j", "DROP")

    def lose(self, name, share):
        """Drops a share of the packets that a machine receives and sends."""
        for chain in ("INPUT", "OUTPUT"):
            self.machines[name].firewall(
                "-A", chain, "-m", "statistic", "--mode", "random", "--probability", str(share), "-j", "DROP"
            )

    def heal(self, name):
        self.machines[name].firewall("-F")

    def delay(self, name, milliseconds):
        """Delays each packet of a machine, in both directions, by `relay.py`."""
        machine = self.machines[name]
        outer, inner = f"s{machine.port}", f"r{machine.port}"
        ip("link", "add", outer, "type", "veth", "peer", "name", inner)
        plain(outer), plain(inner)
        ip("link", "set", inner, "up")
        ip("link", "set", machine.port, "nomaster")
        ip("link", "set", outer, "master", "switch", "up")
        relay = Path(__file__).with_name("relay.py")
        machine.relay = subprocess.Popen(["python3", relay, machine.port, inner, str(milliseconds)])

    def end_delay(self, name):
        machine = self.machines[name]
        machine.relay.kill()
        machine.relay.wait()
        ip("link", "del", f"s{machine.port}")
        ip("link", "set", machine.port, "master", "switch")
