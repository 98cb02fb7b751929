"""Inference microservice for activation functions and the small CNNs built with them."""

import os

__version__ = "0.1.0"

# ONNX Runtime's packages send usage data to their maker, since 1.29 from Linux too, and keep an identifier in the home
# folder. It looks for this once, when it is imported; who wants to send them sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
