"""A network of our own with nothing in it but loopback.

Ray listens on every interface for its own processes, whatever address its HTTP server is given, and what listens there
runs code for whoever connects. So all servers are started where there is no other interface.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
"""Source: linux/sockios.h, linux/if.h."""

UNSHARE = ["unshare", "--map-root-user", "--net"]


def isolated() -> bool:
    """Is loopback all there is?"""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def isolate(arguments: list[str]) -> None:
    """Go on as `python -m loadtests.peers` in such a network; returns only where none can be had."""
    try:
        possible = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        possible = False
    if possible:
        os.execvp(UNSHARE[0], [*UNSHARE, sys.executable, "-m", "loadtests.peers", *arguments])


def raise_loopback() -> None:
    """In a new network it is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        (flags,) = struct.unpack_from("h", answer, 16)
        if not flags & IFF_UP:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
