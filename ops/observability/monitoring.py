"""Prometheus with the exporters, over a fleet, each second instead of every quarter of a minute."""

import json
import math
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from source import GROUPS, rules
from stack import TOOLS, free_port, until

BIN = TOOLS / "observability/usr/bin"
# What stands for Grafana's variables, with a scrape each second.
RATE_INTERVAL = "15s"
# Between two points of a panel.
STEP = 2


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        # Prometheus does not answer queries while it starts.
        if error.code == 503:
            raise
        return json.load(error)


class Monitoring:
    def __init__(self, fleet):
        self.fleet = fleet
        self.folder = fleet.folder / "monitoring"
        self.folder.mkdir()
        self.port = free_port()
        self.start = time.time()
        ports = {name: free_port() for name in ("node", "postgres", "blackbox")}
        self.write_configuration(ports)
        start = fleet.processes.start
        start(
            "node-exporter",
            [
                BIN / "prometheus-node-exporter",
                f"--web.listen-address=127.0.0.1:{ports['node']}",
                "--collector.disable-defaults",
                "--collector.cpu",
                "--collector.meminfo",
                "--collector.filesystem",
                "--collector.diskstats",
                "--collector.netdev",
            ],
        )
        start(
            "postgres-exporter",
            [BIN / "prometheus-postgres-exporter", f"--web.listen-address=127.0.0.1:{ports['postgres']}"],
            {"DATA_SOURCE_NAME": f"host={fleet.socket} user={fleet.postgres_user} dbname=postgres sslmode=disable"},
        )
        start(
            "blackbox-exporter",
            [
                BIN / "prometheus-blackbox-exporter",
                f"--config.file={self.folder}/blackbox.yml",
                f"--web.listen-address=127.0.0.1:{ports['blackbox']}",
            ],
        )
        start(
            "prometheus",
            [
                BIN / "prometheus",
                f"--config.file={self.folder}/prometheus.yml",
                f"--storage.tsdb.path={self.folder}/data",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
        )
        until(lambda: self.up(), 30, "Prometheus")

    def write_configuration(self, ports):
        for group in GROUPS:
            (self.folder / f"{group.name}.yml").write_text(rules.rules_file(group, wait="1s"))
        own = (Path(__file__).parent / "blackbox.yml").read_text()
        # The certificate that a check serves is signed by nobody.
        insecure = own.replace("    http:\n", "    http:\n      tls_config:\n        insecure_skip_verify: true\n")
        (self.folder / "blackbox.yml").write_text(insecure)
        self.targets([])
        self.ready(["http://127.0.0.1:%d/health/ready" % self.fleet.port])
        configuration = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(self.folder / f"{group.name}.yml") for group in GROUPS],
            "scrape_configs": [
                {
                    "job_name": "ffapi",
                    "file_sd_configs": [{"files": [str(self.folder / "targets.json")]}],
                    "relabel_configs": [
                        {"source_labels": ["process"], "target_label": "instance"},
                        {"action": "labeldrop", "regex": "process"},
                    ],
                },
                {
                    "job_name": "ffapi-ready",
                    "metrics_path": "/probe",
                    "params": {"module": ["ready"]},
                    "file_sd_configs": [{"files": [str(self.folder / "ready.json")]}],
                    "relabel_configs": [
                        {"source_labels": ["__address__"], "target_label": "__param_target"},
                        {"source_labels": ["__param_target"], "target_label": "instance"},
                        {"target_label": "__address__", "replacement": f"127.0.0.1:{ports['blackbox']}"},
                    ],
                },
                {"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{ports['node']}"]}]},
                {"job_name": "postgres", "static_configs": [{"targets": [f"127.0.0.1:{ports['postgres']}"]}]},
            ],
        }
        # JSON is YAML.
        (self.folder / "prometheus.yml").write_text(json.dumps(configuration))

    def targets(self, more):
        """Scrapes the roles, and more processes: pairs of names and ports."""
        all_ = list(self.fleet.metrics.items()) + more
        self.write(
            "targets.json", [{"targets": [f"127.0.0.1:{port}"], "labels": {"process": name}} for name, port in all_]
        )

    def ready(self, urls):
        self.write("ready.json", [{"targets": urls}])

    def write(self, name, value):
        draft = self.folder / f"{name}.new"
        draft.write_text(json.dumps(value))
        os.replace(draft, self.folder / name)

    def up(self):
        """Whether every target is scraped."""
        try:
            return all(value > 0 for _, value in self.now("up")) and len(self.now("up")) >= 7
        except OSError:
            return False

    def ask(self, path, **parameters):
        answer = get(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        if answer["status"] != "success":
            raise ValueError(f"{parameters.get('query')}: {answer['error']}")
        return answer["data"]

    def now(self, query):
        """Labels and values."""
        found = self.ask("query", query=query)["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def over(self, query, start, end):
        """Labels and points of each series that has any number."""
        query = query.replace("$__rate_interval", RATE_INTERVAL)
        found = self.ask("query_range", query=query, start=start, end=end, step=STEP)["result"]
        for one in found:
            points = [(at, float(value)) for at, value in one["values"] if math.isfinite(float(value))]
            if points:
                yield one["metric"], points

    def firing(self):
        """The names of alerts that fire. Other file systems of the machine are not this check's."""
        return {
            labels["alertname"]
            for labels, _ in self.now('ALERTS{alertstate="firing"}')
            if "ffapi-observability" in labels.get("mountpoint", "ffapi-observability")
            and labels["alertname"] != "FfapiHostMemoryLow"
        }
