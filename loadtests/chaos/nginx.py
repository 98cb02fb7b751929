"""nginx in front of replicas: on a free port, as the current user, with all its files in a folder."""

import getpass
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loadtests.chaos.experiment import Skipped
from loadtests.local import service
from loadtests.local.servers import Command, Server, free_port, running

CONFIGURATION = """
user {user};
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 64m;
  upstream replicas {{
    {servers}
    keepalive 32;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://replicas;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_next_upstream error timeout http_503 non_idempotent;
    }}
  }}
}}
"""
"""Connections to the replicas stay open, and `max_fails=0`: by default nginx leaves a replica that once refused a
connection out for ten seconds, in which the other one may be restarted, and then nobody is left.
`proxy_next_upstream`: what one replica refuses, or did not answer, the other is asked, also if it was a POST: to ask a
model twice does no harm."""


@contextmanager
def proxy(ports: Sequence[int], folder: Path) -> Iterator[Server]:
    """Until the block ends; answers when it begins.

    Raises:
        Skipped: there is no nginx.
    """
    if shutil.which("nginx") is None:
        raise Skipped("nginx is missing: apt-get install nginx-light")
    folder.mkdir(parents=True)
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(written(ports, folder, port))
    argv = ["nginx", "-p", str(folder), "-c", str(configuration), "-e", str(folder / "error.log")]
    with running(Command(argv), port, folder / "nginx.log") as server:
        server.wait_until(service.READY, "GET")
        yield server


def written(ports: Sequence[int], folder: Path, port: int) -> str:
    servers = "\n    ".join(f"server 127.0.0.1:{port} max_fails=0;" for port in ports)
    return CONFIGURATION.format(user=getpass.getuser(), folder=folder, servers=servers, port=port)
