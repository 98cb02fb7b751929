"""Triton Inference Server, CPU."""
