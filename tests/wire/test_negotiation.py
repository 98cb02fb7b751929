"""Qualities are read as RFC 9110 writes them; what is malformed counts as not wanted."""

import pytest

from service.wire.negotiation import qualities


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("gzip", [("gzip", 1.0)]),
        ("Text/HTML;Level=1;Q=0.5 , */*;q=0.1", [("text/html", 0.5), ("*/*", 0.1)]),
        ("a;q=1., b;q=0., c;q=0.123, d;q=1.000", [("a", 1.0), ("b", 0.0), ("c", 0.123), ("d", 1.0)]),
        ("a;q=1.001, b;q=2, c;q=-1, d;q=, e;q=.5, f;q=0.1234", [(name, 0.0) for name in "abcdef"]),
        ("a;q=١, b;q=nan, c;q=inf", [(name, 0.0) for name in "abc"]),
        ("", [("", 1.0)]),
    ],
)
def test_a_header_is_read(header: str, expected: list[tuple[str, float]]) -> None:
    assert qualities(header) == expected
