"""Check the answer to one of the README's requests: answers.py NAME < answer.json (standard library only)."""

import json
import sys

HORSE = 7


def check(name: str, answer: dict) -> None:
    if name == "tensor":
        assert answer["data"] == [-0.2, -0.1, 0.0, 1.0, 2.0], answer
        return
    if name == "image":
        assert answer["predictions"][0]["label"] == "horse", answer
        probabilities = answer["predictions"][0]["probabilities"]
    else:
        probabilities = {output["name"]: output["data"] for output in answer["outputs"]}["probabilities"]
    assert max(range(10), key=probabilities.__getitem__) == HORSE, answer
    assert abs(sum(probabilities) - 1) < 1e-5, answer


check(sys.argv[1], json.load(sys.stdin))
