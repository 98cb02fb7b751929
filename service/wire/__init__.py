"""Bytes to tensors and back: pure functions; no I/O, no web framework, no models."""
