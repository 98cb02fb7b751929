"""The cases whose answer is not built yet; each is expected to fail, and a test fails when one does not."""

from collections.abc import Iterable
from typing import Any, Protocol

import pytest

PARSER = (
    "H01", "H02", "H03", "H08", "H09", "H10", "H11", "H12", "H13", "H14", "H15", "H16", "H24", "H37", "H33 BREW",
    "H33 CONNECT", "H35 authority", "Q05 request id with ANSI", "M03 control", "P 64 kB",
)  # fmt: skip
"""Refused by the parser, in plain text."""

GUARD = ("H05", "H06", "H28", "H29", "Q12")
"""No, or two, Hosts; heads that are too long."""

LIMITS = ("J07 65 lists in what is ignored /v2/models/relu", "T12 more rows than a request")

SLOW = ("H17", "H23", "H25", "H26", "H27", "H30")

KEYS = ("Q07 of the API,",)

NAMES = ("P load",)
"""A name that no model can have."""

PENDING: tuple[str, ...] = (*PARSER, *GUARD, *LIMITS, *SLOW, *KEYS, *NAMES)
"""Beginnings of their ids."""


class Named(Protocol):
    @property
    def id(self) -> str: ...


def marked(cases: Iterable[Named]) -> list[Any]:
    """For `pytest.mark.parametrize`, with their ids, and the marks of those that are pending."""
    waits = pytest.mark.xfail(reason="waits for another part of the work", strict=True)
    return [pytest.param(case, id=case.id, marks=[waits] if case.id.startswith(PENDING) else []) for case in cases]
