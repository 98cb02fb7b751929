"""What a server started is found, measured and ended with it; nothing else is."""

import subprocess
import sys

from loadtests.local import processes

CHILD = "import sys; print('ready', flush=True); sys.stdin.read()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def start(script: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def test_a_tree_is_the_process_and_what_it_started() -> None:
    with start(CHILD) as other, start(PARENT) as process:
        tree = processes.tree(process.pid)
        memory = processes.memory_mb(process.pid)
        processes.end(process)
        left = {pid for pid, _ in tree} & {pid for pid, _, _ in processes._all()}
        close(process)

        assert len(tree) == 2
        assert tree[0][0] == process.pid
        assert memory > processes.memory_mb(other.pid) > 1
        assert left == set()
        assert other.poll() is None
        close(other)


def test_processor_time_is_that_of_the_whole_tree() -> None:
    """The child computes, its parent waits."""
    child = f"sum(range(10**7)); {CHILD}"
    with start(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])") as process:
        spent = processes.cpu_seconds(process.pid)
        children = processes.tree(process.pid)[1:]
        own = spent - sum(processes.cpu_seconds(pid) for pid, _ in children)
        processes.end(process)
        close(process)

        assert spent > own + 0.02
        assert processes.cpu_seconds(process.pid) == 0  # it has ended


def test_memory_is_looked_at_while_the_block_runs() -> None:
    with start(CHILD) as process:
        with processes.watched_memory(process.pid) as seen:
            first = seen[0]
        close(process)

        assert first > 1
        assert seen[0] == first


def test_the_end_of_a_process_that_has_ended_is_no_fault() -> None:
    with start(CHILD) as process:
        close(process)
        process.wait()
        processes.end(process)
        assert process.returncode == 0
