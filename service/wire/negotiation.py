"""`Accept` and `Accept-Encoding`: what is wanted, and how much (RFC 9110 §12.4.2)."""

import re

_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


def qualities(header: str) -> list[tuple[str, float]]:
    """Read `name;q=0.5, …`: names in lower case, without their other parameters; what is malformed is not wanted."""
    return [_quality(part) for part in header.lower().split(",")]


def _quality(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip() for piece in part.split(";"))
    quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
    return name, float(quality) if _QUALITY.fullmatch(quality) else 0.0
