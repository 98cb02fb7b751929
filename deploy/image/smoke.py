"""Does what is installed here serve? Starts the service, asks it what is on a photo, and ends it.

The image's build runs it, as the image's user; with `GPU=1` it looks for CUDA's libraries too, which needs no GPU.
In a finished image it tells whether that works on a machine:

    docker run --rm --gpus all --env ACTSERVE_DEVICE=cuda --entrypoint python actserve:gpu -m deploy.image.smoke
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from deploy.image import health

PHOTO, SHOWS = Path("service/web/samples/horse.jpg"), "horse"
START_S, STOP_S = 600, 60
"""Images are built on busy machines too."""
ORDERLY = (0, -signal.SIGTERM)

CUDA = ("libcublasLt", "libcublas", "libcudart", "libcudnn", "libcufft", "libcurand", "libnvrtc")
"""What ONNX Runtime's CUDA provider loads, at once or when a model needs it, besides the driver's own libcuda."""


def main() -> None:
    """Exit code 1, with the reason, if anything is not as it should be."""
    if os.environ.get("GPU") == "1" and (missing := unloaded(mapped())):
        sys.exit(f"CUDA's libraries are not all here: {', '.join(missing)}")
    environment = os.environ | {"ACTSERVE_HOST": "127.0.0.1", "ACTSERVE_PORT": str(free_port())}
    begin = time.monotonic()
    with serving(environment | {"ACTSERVE_LAME_DUCK_SECONDS": "0"}) as process:
        wait_until_ready(process, environment)
        ready_s = time.monotonic() - begin
        label, provider = ask(environment)
    if label != SHOWS or process.returncode not in ORDERLY:
        sys.exit(f"{PHOTO} is called {label!r}, and the service ended with {process.returncode}")
    sys.stdout.write(f"a {label}, by {provider}; ready after {ready_s:.1f} s\n")


def mapped() -> str:
    """The libraries of a process that has loaded all that onnxruntime finds of CUDA."""
    # `service` turns off the usage data that onnxruntime would send.
    code = "import service, onnxruntime; onnxruntime.preload_dlls(); print(open('/proc/self/maps').read())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def unloaded(maps: str) -> list[str]:
    """What the CUDA provider needs and is not among the files that a process has mapped."""
    return [name for name in CUDA if f"/{name}.so." not in maps]


@contextmanager
def serving(environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-m", "service"], env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            process.kill()


def wait_until_ready(process: subprocess.Popen[bytes], environment: Mapping[str, str]) -> None:
    deadline, fault = time.monotonic() + START_S, "nothing was tried"
    while time.monotonic() < deadline and process.poll() is None:
        answer = health.fault(environment, health.READY)
        if answer is None:
            return
        fault = answer
        time.sleep(0.05)
    sys.exit(f"the service is not ready: {fault}; exit code {process.poll()}")


def ask(environment: Mapping[str, str]) -> tuple[str, str]:
    """What is on the photo, and who says so."""
    host, port = health.address(environment)
    with closing(http.client.HTTPConnection(host, port, timeout=60)) as connection:
        connection.request("POST", "/v1/models/cnn-relu/predict", PHOTO.read_bytes(), {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        content = answer.read()
    if answer.status != 200:
        sys.exit(f"the photo is answered {answer.status}: {content[:500]!r}")
    read = json.loads(content)
    return read["predictions"][0]["label"], read["provider"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
