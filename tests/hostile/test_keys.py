"""Q07: what is no key, on every kind of route, of a server that asks for keys."""

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

from tests.hostile import queries
from tests.hostile.answering import LIVE, Server, running
from tests.hostile.cases import KEY, Case


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("guarded")
    with running(
        folder, check=False, repository=str(repository), api_keys="the first key,the second key", admin_key=KEY
    ) as server:
        yield server


@pytest.mark.parametrize("case", queries.KEYS, ids=attrgetter("id"))
def test_what_is_no_key_opens_nothing(guarded: Server, case: Case) -> None:
    (answer,) = guarded.exchange(*case.sent)
    guarded.check_answer(case, [], answer)
    assert guarded.one(*LIVE).status == 200
    guarded.check_log()
