"""Which process holds which connection, as Linux says it in `/proc`."""

import contextlib
from pathlib import Path

from loadtests.local import processes

ESTABLISHED = "01"
"""Source: proc_pid_net(5), enum in include/net/tcp_states.h."""


def of(pid: int, port: int) -> set[int]:
    """The clients' ports of the connections to `port` that this process has open."""
    inodes = sockets(pid)
    return {client for client, inode in _established(port) if inode in inodes}


def sockets(pid: int) -> set[str]:
    """Inodes of the process's open sockets."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            name = str(descriptor.readlink())
            if name.startswith("socket:["):
                found.add(name[8:-1])
    return found


def by_process(root: int, port: int) -> dict[int, set[int]]:
    """For each process of the tree, the clients' ports of its connections."""
    found = {}
    for pid, _ in processes.tree(root):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            found[pid] = of(pid, port)
    return found


def _established(port: int) -> list[tuple[int, str]]:
    """The client's port and the inode of each open connection to `port`."""
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_, inode = line.split()[:10]
        if state == ESTABLISHED and _port(local) == port:
            found.append((_port(remote), inode))
    return found


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
