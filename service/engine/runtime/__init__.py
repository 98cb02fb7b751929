"""ONNX Runtime, and nowhere else."""
