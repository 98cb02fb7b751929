"""Checks an answer to one of the README's requests: python3 .ci/answers.py NAME < answer.json (standard library only)."""

import json
import sys

name, answer = sys.argv[1], json.load(sys.stdin)
if name == "tensor":
    assert answer["data"] == [-0.2, -0.1, 0.0, 1.0, 2.0], answer
elif name == "image":
    first = answer["predictions"][0]
    assert first["label"] == "horse" and abs(sum(first["probabilities"]) - 1) < 1e-5, answer
else:
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    assert max(range(10), key=outputs["probabilities"].__getitem__) == 7, answer  # 7 is horse
    assert abs(sum(outputs["probabilities"]) - 1) < 1e-5, answer
