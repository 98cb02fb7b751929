"""The service beside other servers: the same ONNX file, the same request bytes, the same two cores, pairs alternated.

`python -m loadtests.peers` sets every peer up in an environment of its own (`.venv-bench/<peer>`), checks that its
answers are right, drives it and prints ratios with their spread; `--quick` compares with bare ONNX Runtime only.
"""
