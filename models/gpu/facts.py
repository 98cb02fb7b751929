"""What there is: the GPU, its driver, the packages with NVIDIA's libraries, and memory once everything is loaded."""

import datetime
import importlib.metadata
import platform
import subprocess
from pathlib import Path

import httpx2

from models.client import running
from models.gpu.bench import Here
from models.gpu.findings import Findings
from service.engine.gpu.driver import gpu
from service.engine.runtime.words import runtime_version

NVIDIA_SMI = ("nvidia-smi", "--query-gpu=driver_version,clocks.max.sm,compute_cap", "--format=csv,noheader", "--id=0")


def of_machine(here: Here, findings: Findings) -> None:
    found = gpu()
    findings.facts |= {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": here.device.kind if here.device.reason is None else f"{here.device.kind}: {here.device.reason}",
        "GPU": f"{found.name}, {found.memory_total_mib} MiB" if found else "none",
        "driver, clock, compute capability": _asked(NVIDIA_SMI),
        "processor": _processor(),
        "ONNX Runtime": runtime_version(),
        "Python": platform.python_version(),
    }
    for package in sorted(importlib.metadata.distributions(), key=lambda each: str(each.metadata["Name"])):
        name = str(package.metadata["Name"])
        if name.startswith("nvidia-"):
            findings.facts[name] = package.version
    if not here.on_gpu:
        findings.skipped.append("everything that needs a GPU; what follows was done on the CPU, to see that it works")


def of_memory(here: Here, findings: Findings) -> None:
    """Before and after the service has loaded and tried all models."""
    before = gpu()
    with running({"ACTSERVE_DEVICE": here.device.kind, "ACTSERVE_WORKERS": "1"}) as url:
        after = gpu()
        text = httpx2.get(f"{url}/metrics", trust_env=False).text
        device = httpx2.get(f"{url}/v1/device", trust_env=False).json()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    findings.facts |= {
        "memory of the process, MiB": f"{float(values['process_resident_memory_bytes']) / 2**20:.0f}",
        "start, s": f"{float(values['actserve_start_seconds']):.1f}",
        "models": str(len(device["models"])),
        "how sizes are run": "; ".join(f"{m['model']}: {m['runs']}" for m in device["models"] if m["runs"]) or "–",
    }
    if before is None or after is None:
        findings.skipped.append("memory of the GPU: no GPU here")
    else:
        findings.facts["memory of the GPU, MiB"] = f"{after.memory_used_mib - before.memory_used_mib}"


def _asked(command: tuple[str, ...]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f"not told ({type(error).__name__})"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "not told")
