"""Requests whose answers are known.

The first answer is judged by its meaning (`loadtests.answers`), from values that are computed here. After that the same
bytes are right again, which is quick. Where the service promises the very same bits, other bytes are wrong even if
their values are near; a CNN's last bits depend on the batch in which a row was run, so it may answer in several ways.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtests import answers, bodies
from loadtests.answers import Answer, Check
from loadtests.bodies import Sent
from loadtests.local.http import Request, as_http

WAYS = 64
"""Right answers to one request that are remembered; others are judged anew."""
HOST = "127.0.0.1"


@dataclass(slots=True)
class Golden:
    """One request, and what it must be answered.

    Args:
        also: statuses that are right too, whatever the answer says.
        exact: always with the same bytes.
        leaves: the client goes away without waiting for the answer.
    """

    kind: str
    message: bytes
    check: Check
    status: int = 200
    also: tuple[int, ...] = ()
    exact: bool = False
    leaves: bool = False
    known: set[bytes] = field(default_factory=set)

    def fault(self, answer: Answer) -> str | None:
        """Why the answer is wrong, or None."""
        if answer.status in self.also:
            return None
        if answer.status == self.status and answer.body in self.known:
            return None
        if answer.status == self.status and self.exact and self.known:
            return "other bytes than before"
        reason = answers.fault(self.check, answer, self.status)
        if reason is None and len(self.known) < WAYS:
            self.known.add(answer.body)
        return reason


def of(sent: Sent, exact: bool = False) -> Golden:
    request = Request(sent.path, sent.headers, sent.body or b"")
    return Golden(sent.name, as_http(HOST, request, sent.method), sent.check, exact=exact)


def functions() -> list[Golden]:
    """Small tensors to functions, in JSON and binary: the same bits every time."""
    small = [request for request in bodies.tensors(random.Random(bodies.SEED)) if len(request.body or b"") < 2000]
    return [of(request, exact=True) for request in [*small, *bodies.binaries(random.Random(bodies.SEED))[:1]]]


def pictures() -> list[Golden]:
    """One to eight rows to a CNN in binary, and a photo."""
    binary = bodies.binaries(random.Random(bodies.SEED))[2:6]
    photos = [bodies.predict_photo(bodies.MODELS[0], photo) for photo in sorted(bodies.SAMPLES.glob("*.jpg"))]
    return [of(request) for request in [*binary, *photos]]


def mixed() -> Sequence[Golden]:
    """Of all that, what is quick: some milliseconds each at most."""
    return [*functions(), *pictures()]
