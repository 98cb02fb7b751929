"""nginx in front of replicas, as `deploy/nginx` configures it: on a free port, with all its files in a folder."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loadtests.chaos.experiment import Skipped
from loadtests.local import service
from loadtests.local.servers import ROOT, Command, Server, free_port, running

CONFIGURATION = ROOT / "deploy" / "nginx" / "nginx.conf"
"""Taken as it is; the two files that it includes are written here."""
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
"""What nginx would keep in folders of the system, which belong to root."""


@contextmanager
def proxy(ports: Sequence[int], folder: Path) -> Iterator[Server]:
    """Until the block ends; answers when it begins.

    Raises:
        Skipped: there is no nginx.
    """
    if shutil.which("nginx") is None:
        raise Skipped("nginx is missing: apt-get install nginx-light")
    port = free_port()
    write(ports, folder, port)
    argv = [
        "nginx",
        "-p",
        str(folder),
        "-c",
        str(folder / CONFIGURATION.name),
        "-e",
        "stderr",
        "-g",
        directives(folder),
    ]
    with running(Command(argv), port, folder / "nginx.log") as server:
        server.wait_until(service.READY, "GET")
        yield server


def write(ports: Sequence[int], folder: Path, port: int) -> None:
    """The configuration's three files: nginx looks for what is included beside what includes it."""
    folder.mkdir(parents=True)
    shutil.copy(CONFIGURATION, folder)
    (folder / "replicas.conf").write_text("".join(f"server 127.0.0.1:{port} max_fails=0;\n" for port in ports))
    paths = "".join(f"{name}_temp_path {folder / name};\n" for name in TEMPORARY)
    log = f"access_log {folder / 'access.log'} replicas;\n"
    (folder / "site.conf").write_text(f"listen 127.0.0.1:{port};\n{log}{paths}")


def directives(folder: Path) -> str:
    """What a system sets for its nginx. Root's would else run as somebody who may not enter the folder."""
    user = "user root; " if os.geteuid() == 0 else ""
    return f"{user}daemon off; pid {folder / 'nginx.pid'};"
