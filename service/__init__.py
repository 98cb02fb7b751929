"""Inference microservice for activation functions and the small CNNs built with them."""

__version__ = "0.1.0"
