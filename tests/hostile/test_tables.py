"""Every case of the tables is sent to a running server."""

import pytest

from tests.hostile import binary, documents, forms, heads, names, pictures, queries, tensors
from tests.hostile.answering import Server
from tests.hostile.cases import Case
from tests.hostile.pending import marked

SECTIONS = {
    "H": heads.CASES,
    "J": documents.CASES,
    "T": tensors.CASES,
    "B": binary.CASES,
    "I": pictures.CASES,
    "M": forms.CASES,
    "Q": queries.CASES,
    "P": names.CASES,
}
CASES = [case for cases in SECTIONS.values() for case in cases]


@pytest.mark.parametrize("case", marked(CASES))
def test_a_hostile_request_is_answered_and_harms_nobody(server: Server, case: Case) -> None:
    server.check(case)
