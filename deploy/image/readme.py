"""The README's own requests, sent to a service that is elsewhere than the README has it."""

import re
import subprocess
import sys
from pathlib import Path

from loadtests.local.servers import ROOT

REQUESTS = ("tensor", "image", "protocol")
"""Blocks of the README; `.ci/answers.py` knows what must come of each."""
ADDRESS = "127.0.0.1:8000"
ANSWER_S = 120


def block(mark: str, page: str) -> str:
    """The first block of code after a mark.

    Raises:
        ValueError: there is none.
    """
    found = re.search(rf"^<!-- {re.escape(mark)} -->\n+```\w*\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"the README has no block after <!-- {mark} -->")
    return found[1]


def fault(mark: str, address: str, page: Path = ROOT / "README.md") -> str | None:
    """Why the request is not answered as the README's readers expect, or None."""
    command = block(mark, page.read_text()).replace(ADDRESS, address)
    asked = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=ANSWER_S)
    if asked.returncode:
        return f"exit code {asked.returncode}: {asked.stderr[-500:]}"
    judge = [sys.executable, str(ROOT / ".ci" / "answers.py"), mark]
    judged = subprocess.run(judge, input=asked.stdout, capture_output=True, text=True, timeout=ANSWER_S)
    return judged.stderr[-500:] if judged.returncode else None
