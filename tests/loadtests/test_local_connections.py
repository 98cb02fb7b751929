"""Connections are those of the process that holds them."""

import mmap
import os
import socket

from loadtests.local import connections, processes


def test_a_connection_belongs_to_who_accepted_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            with accepted:
                held = connections.by_process(os.getpid(), port)
                assert held[os.getpid()] == {client.getsockname()[1]}

    assert connections.by_process(os.getpid(), port)[os.getpid()] == set()


def test_open_files_and_memory_are_those_of_the_process() -> None:
    before = processes.descriptors(os.getpid())
    with socket.socket(), socket.socket():
        assert processes.descriptors(os.getpid()) == before + 2
    held = mmap.mmap(-1, 50_000_000)  # not of an allocator, which may keep what is given back
    held.write(b"x" * 50_000_000)
    with_it = processes.resident_bytes(os.getpid())
    held.close()
    assert with_it - processes.resident_bytes(os.getpid()) > 40_000_000
