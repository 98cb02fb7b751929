"""Every case of the tables is sent to a running server."""

import pytest

from tests.hostile.answering import Server
from tests.hostile.cases import Case
from tests.hostile.pending import marked
from tests.hostile.sections import CASES


@pytest.mark.parametrize("case", marked(CASES))
def test_a_hostile_request_is_answered_and_harms_nobody(server: Server, case: Case) -> None:
    server.check(case)
