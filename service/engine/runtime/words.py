"""ONNX Runtime's errors, in words that may leave the service; and its version."""

import re
from typing import Any

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

ENGINE_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    ort_errors.EPFail,
)

ort.set_default_logger_severity(4)  # errors reach us as exceptions; the log would repeat them, with paths

# Where in the runtime's own source it failed: file and line, and the function with its arguments, as GCC writes it.
_PLACE = re.compile(r"(?<![\w.])/[\w./+-]+:\d+ (?:[^()]*::[^()]*\([^()]*\)(?: const)?(?: \[with [^\]]*\])? ?)?")


def in_words(error: Exception) -> str:
    """The runtime's message in one line, without its code, its advice to the programmer, paths, and its own names."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = text.removesuffix(" Please fix either the inputs/outputs or the model.")
    return re.sub(r"(?<![\w.])/[\w./+-]+(:\d+)?", "…", _PLACE.sub("", text))


def is_about_memory(error: Exception) -> bool:
    """Whether it is the runtime's, of a block of memory that it did not get."""
    return re.search("[Ff]ailed to allocate memory|bad_?\\s?alloc", str(error)) is not None


def runtime_version() -> str:
    return str(ort.__version__)


def session_options(threads: int) -> Any:
    """What all sessions have in common: an `onnxruntime.SessionOptions`."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning burns a shared CPU while idle
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options
