"""Every case of the tables is sent to a running server."""

from operator import attrgetter

import pytest

from tests.hostile.answering import Server
from tests.hostile.cases import Case
from tests.hostile.sections import CASES


@pytest.mark.parametrize("case", CASES, ids=attrgetter("id"))
def test_a_hostile_request_is_answered_and_harms_nobody(server: Server, case: Case) -> None:
    server.check(case)
