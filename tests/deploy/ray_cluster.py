"""`python -m tests.deploy.ray_cluster PORT FOLDER`, by the Python of .venv-ray: a cluster of two nodes on this machine.

It serves what `deploy/ray/config.yaml` says, by Ray's own command, and says so on the standard output with a line of
JSON: the nodes. Each line that it then reads is a command, answered with a line: `lose` has the second node end as if
its machine were switched off, `add` puts another in its place. At the end of the input all is ended.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import ray
import yaml
from ray import serve
from ray.cluster_utils import Cluster

from loadtests.chaos.replica import after
from loadtests.local.servers import ROOT, free_port

CONFIGURATION = ROOT / "deploy" / "ray" / "config.yaml"
START_S = 300
"""For an application on a busy machine."""
LIFE_S = 1200
"""After that the system ends it, whatever hangs; Ray's processes end with it."""
SHARED_BYTES = 80 * 2**20
"""Of a node's store of objects, which is not used here: about the least that Ray takes."""
FIXED_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
"""Else a node waits for each of these to be told, and ends if that takes longer than it does on a free machine."""


def node() -> dict[str, object]:
    """A processor, so room for one replica; nothing listens but on the loopback."""
    ports = {name: free_port() for name in FIXED_PORTS}
    return {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": SHARED_BYTES, **ports}


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Ray says is none
    signal.alarm(LIFE_S)
    head = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    cluster = Cluster(initialize_head=True, head_node_args={**node(), **head})
    second = cluster.add_node(**node())
    try:
        deploy(port, folder, cluster.address)
        tell(answers, sorted(entry["NodeID"] for entry in ray.nodes() if entry["Alive"]))
        for line in sys.stdin:
            if line.strip() == "lose":
                lost = second.node_id
                cluster.remove_node(second, allow_graceful=False)
                tell(answers, lost)
            elif line.strip() == "add":
                second = cluster.add_node(**node())
                tell(answers, second.node_id)
    finally:
        ray.shutdown()
        cluster.shutdown()


def deploy(port: int, folder: Path, address: str) -> None:
    """As a user would, but for the port."""
    configuration = yaml.safe_load(CONFIGURATION.read_text())
    configuration["http_options"]["port"] = port
    written = folder / "config.yaml"
    written.write_text(yaml.safe_dump(configuration))
    command = [str(Path(sys.executable).parent / "serve"), "run", "--non-blocking", "--address", address, str(written)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=START_S)
    ray.init(address=address, log_to_driver=False)
    if after(START_S, runs) is None:
        sys.exit(f"the application does not run: {serve.status()}")


def runs() -> bool:
    application = serve.status().applications.get("actserve")
    return application is not None and application.status == "RUNNING"


def tell(answers: TextIO, what: object) -> None:
    answers.write(json.dumps(what) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
