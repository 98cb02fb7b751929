"""Write down what the installed Triton answers: `python -m tests.triton.record`."""

import json
import tempfile
from pathlib import Path

from tests.triton.server import ask_all, real_triton

RECORD = Path(__file__).parent / "answers.json"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, real_triton(Path(folder)) as address:
        answers = ask_all(address)
    lines = (f"{json.dumps(name)}: {json.dumps(answer)}" for name, answer in answers.items())
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
