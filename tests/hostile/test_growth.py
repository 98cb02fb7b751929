"""Hostile requests over and over: no memory, no descriptor and no request stays behind."""

import numpy as np
import pytest

from tests.hostile.answering import Server, nothing_left
from tests.hostile.cases import Case
from tests.hostile.growth import ALLOWED_BYTES, growth
from tests.hostile.sections import SECTIONS

MAX_BYTES = 2**16
"""Larger requests are sent once, by the tables' own test."""
MOST = 40
"""Cases of a section that are repeated: of more, every so manieth."""
REQUESTS, FEWEST_ROUNDS, MOST_ROUNDS = 1000, 24, 99
WARM_UP = 6


def repeated(section: str) -> list[Case]:
    small = [c for c in SECTIONS[section] if sum(map(len, c.sent)) <= MAX_BYTES]
    return small[:: 1 + len(small) // MOST]


@pytest.mark.parametrize("section", SECTIONS)
def test_memory_does_not_grow_with_hostile_requests(server: Server, section: str) -> None:
    """Each case so often that it is seen if one keeps 100 kB of each request, or each of them two kilobytes."""
    cases = repeated(section)
    assert cases
    rounds = min(max(REQUESTS // len(cases), FEWEST_ROUNDS), MOST_ROUNDS)
    samples = []
    with nothing_left(server):
        for _ in range(WARM_UP + rounds):
            for case in cases:
                server.exchange(*case.sent, answers=(case.before or 0) + 1)
            samples.append(server.resident_bytes())
    assert growth(samples[WARM_UP:]) <= ALLOWED_BYTES


@pytest.mark.parametrize(
    ("a_round", "grows"), [(0, False), (8 * 2**10, False), (100 * 2**10, True), (2**20, True)], ids=str
)
def test_a_growing_series_is_told_from_one_that_only_wavers(a_round: int, grows: bool) -> None:
    """The same noise, half a megabyte and two passing peaks, with and without bytes that stay of each round."""
    noise = np.random.default_rng(0).integers(0, 2**19, FEWEST_ROUNDS)
    noise[[5, 20]] += 50 * 2**20
    samples = [int(wavers) + number * a_round for number, wavers in enumerate(noise)]
    assert (growth(samples) > ALLOWED_BYTES) == grows
