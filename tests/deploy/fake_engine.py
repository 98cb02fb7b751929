"""A container engine that does nothing and says what it is told to."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from deploy.image.engine import Done, Engine


@dataclass(slots=True)
class FakeEngine:
    """Answers a command by the first of its words that it knows, and remembers it.

    Args:
        answers: by words that stand in the command, such as `"image inspect"`.
    """

    answers: dict[str, Done] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    def __call__(self, command: Sequence[str], timeout_s: float) -> Done:
        line = " ".join(command)
        self.commands.append(line)
        return next((done for words, done in self.answers.items() if words in line), Done(0))

    def engine(self) -> Engine:
        return Engine(["podman"], ["--network=host"], ["--ulimit", "nofile=9"], self)


HISTORY = """\
0 B\t/bin/sh -c #(nop) ENTRYPOINT ["python", "-m", "service"]
3.07 kB\t|1 GPU=0 /bin/sh -c ["python", "-m", "deploy.image.smoke"]
10.8 MB\t/bin/sh -c #(nop) COPY dir:6f99 in /app\x20
276 MB\t/bin/sh -c #(nop) COPY dir:3c20 in /opt/actserve\x20
3.58 kB\t/bin/sh -c #(nop) COPY dir:5023 in /opt/actserve/lib\x20
176 MB\t/bin/sh -c #(nop) ADD file:25ce in /
"""
"""As podman 4.3 writes it."""

DOCKERS = """\
0\tENTRYPOINT ["python" "-m" "service"]
10800000\tCOPY /app /app # buildkit
276000000\tCOPY /opt/actserve /opt/actserve # buildkit
2000000000\tCOPY /opt/actserve/lib /opt/actserve/lib # buildkit
176000000\t/bin/sh -c #(nop) ADD file:25ce in /
"""
"""As Docker does with BuildKit, by its documentation; not tried."""
