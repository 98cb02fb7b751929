"""Every setting, read once at start from the environment: `ACTSERVE_<NAME>`. Units are in the names."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PACKAGED_REPOSITORY = Path(__file__).parent.parent / "models" / "repository"
PACKAGED_EVIDENCE = Path(__file__).parent.parent / "models" / "evidence"


class Settings(BaseSettings):
    """Frozen; a value that does not fit is an error at start, before anything is loaded."""

    model_config = SettingsConfigDict(env_prefix="ACTSERVE_", frozen=True, env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(
        0, ge=0, le=256, description="Processes that answer requests; 0 is one a processor, on a GPU one."
    )
    device: Literal["auto", "cuda", "cpu"] = Field(
        "auto",
        description="Where models run: `cuda` refuses to start without a working GPU, `auto` takes the CPU then.",
    )
    strict_placement: bool = Field(
        False, description="On a GPU, serve no model of which some node has no kernel there and would run on the CPU."
    )
    precision: Literal["float32", "float16"] = Field(
        "float32",
        description="Of the models' arithmetic; a model that cannot be converted to float16 stays as it is.",
    )
    tf32: bool = Field(False, description="On a GPU, round the inputs of float32 convolutions and products to 10 bits.")
    gpu_runs: Literal["auto", "bound", "plain"] = Field(
        "auto",
        description="On a GPU, how models are run: `plain`, through memory that is made once (`bound`), or in "
        "whichever way is fastest, CUDA graphs among them.",
    )
    gpu_memory_bytes: int = Field(
        0, ge=0, description="Memory of the GPU that one model may take for weights and runs; 0 is no limit."
    )
    threads: int = Field(
        0, ge=0, le=1024, description="CPU threads of one inference; 0 is the CPU quota divided by the workers."
    )
    repository: Path = Field(PACKAGED_REPOSITORY, description="Folder of models: `<name>/<version>/model.onnx`.")
    evidence: Path = Field(
        PACKAGED_EVIDENCE, description="Folder of what was measured of the article's claims: `claims.json`, figures."
    )
    reload_interval_seconds: float = Field(
        2.0, ge=0, le=3600, description="Time between two looks for changes in the repository; 0 never looks."
    )
    max_batch_size: int = Field(
        1024, ge=1, le=2**20, description="Most rows in one run of a model whose `model.toml` does not say."
    )
    load_probe_seconds: float = Field(
        30.0,
        ge=0,
        le=3600,
        description="How long the trial of a new model's file may take, in a process of its own; 0 tries none.",
    )
    load_probe_bytes: int = Field(
        2 * 2**30, ge=2**26, description="Memory that the trial of a new model's file may take."
    )
    load_probe_at_start: bool = Field(
        False, description="Try also what is in the repository when the server starts: about a second more a model."
    )
    max_cached_variants: int = Field(
        32, ge=1, description="Sessions kept of models whose activations are swapped or looked at."
    )
    max_cached_activations: int = Field(256, ge=1, description="Activation graphs kept, one a set of parameters.")

    api_keys: SecretStr | None = Field(
        None,
        description="Keys for all but the health routes and the page, separated by commas; none: open to everybody.",
    )
    api_keys_file: Path | None = Field(None, description="File of such keys, one a line; `#` begins a comment.")
    admin_key: SecretStr | None = Field(
        None, description="Key for what changes the running service; while there is none, that is off."
    )
    admin_key_file: Path | None = Field(None, description="File that holds the admin key.")
    key_requests_per_second: int = Field(
        0, ge=0, description="Requests that one API key may send in a second, to all workers together; 0 is no limit."
    )
    cors_origins: str = Field(
        "", description="Origins whose pages may call the API, separated by commas; `*` is all of them."
    )
    tls_certificate_file: Path | None = Field(None, description="Certificate chain (PEM); with it the port speaks TLS.")
    tls_key_file: Path | None = Field(None, description="The certificate's private key (PEM).")
    model_upload: bool = Field(
        False, description="Take models that a client sends along with a load; needs the admin key, and trials."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level logged.")
    request_log: bool = Field(True, description="Whether each request is one line of JSON on the standard output.")
    trace_exporter: Literal["none", "otlp"] = Field(
        "none", description="Where spans go: `otlp` is as the variables `OTEL_…` say; needs the extra `opentelemetry`."
    )

    max_head_bytes: int = Field(
        32 * 2**10, ge=1024, le=2**20, description="Largest request head: request line and header fields."
    )
    max_headers: int = Field(100, ge=10, description="Most header fields of a request.")
    max_body_bytes: int = Field(64 * 2**20, ge=1024, description="Largest request body, as it is sent.")
    max_decompressed_bytes: int = Field(64 * 2**20, ge=1024, description="Largest body once it is decompressed.")
    max_json_depth: int = Field(64, ge=8, le=1000, description="Deepest nesting of JSON.")
    max_tensor_elements: int = Field(16 * 2**20, ge=1, description="Most elements in one tensor.")
    max_image_pixels: int = Field(25_000_000, ge=1, description="Most pixels in one image (width by height).")
    max_image_side_pixels: int = Field(8192, ge=1, description="Longest side of an image.")
    max_images: int = Field(64, ge=1, description="Most images in one request.")
    max_request_rows: int = Field(2**16, ge=1, description="Most rows in one request to a model that batches.")
    max_request_tensors: int = Field(64, ge=1, description="Most inputs that a request may have, and most outputs.")
    max_compared: int = Field(32, ge=1, le=256, description="Most models, or functions, in one comparison.")
    max_inspected_elements: int = Field(
        2**26, ge=1, description="Most numbers in all layers and images of one look into a model; four bytes each."
    )

    max_connections: int = Field(4096, ge=1, description="Connections that one worker holds at a time.")
    max_requests_in_flight: int = Field(1024, ge=1, description="Requests that one worker answers at a time.")
    max_bytes_in_flight: int = Field(
        512 * 2**20,
        ge=1024,
        description="Bytes of the bodies of those; one without a length counts as the largest that is allowed.",
    )
    max_queue_rows: int = Field(
        8192, ge=1, description="Rows that may wait for a model whose `model.toml` does not say."
    )

    head_timeout_seconds: float = Field(10.0, gt=0, le=3600, description="Time to send a request's head.")
    body_timeout_seconds: float = Field(
        30.0, gt=0, le=3600, description="Time to send a body, besides what `min_bytes_per_second` grants it."
    )
    send_timeout_seconds: float = Field(
        30.0, gt=0, le=3600, description="Time to take an answer, besides what `min_bytes_per_second` grants it."
    )
    min_bytes_per_second: int = Field(
        2**16, ge=1, description="Slowest that a large body may be sent, or answer taken."
    )
    keep_alive_timeout_seconds: int = Field(75, ge=1, le=3600, description="How long an idle connection is kept.")
    deadline_seconds: float = Field(
        30.0,
        ge=0,
        le=86400,
        description="From a request's arrival: what still waits then, for its run or a thread, is 504; 0 is no limit.",
    )
    max_run_seconds: float = Field(
        60.0, gt=0, le=86400, description="A run of a model that takes longer is told to stop; its requests are 504."
    )
    max_stall_seconds: float = Field(
        20.0,
        ge=1,
        le=3600,
        description="A worker whose event loop does not move for as long, or whose run does not stop, ends itself.",
    )
    lame_duck_seconds: float = Field(
        3.0,
        ge=0,
        le=600,
        description="After SIGTERM: time in which everything is still answered, while balancers and clients turn away.",
    )
    stop_timeout_seconds: int = Field(
        25, ge=1, le=3600, description="Time for what is being answered to end, after that; then the process ends."
    )

    @field_validator("model_upload")
    @classmethod
    def _only_with_a_key_and_trials(cls, value: bool, info: ValidationInfo) -> bool:
        """Whoever may upload runs code: nobody without the key, and nothing that was not tried."""
        if value and not any(info.data.get(name) for name in ("admin_key", "admin_key_file")):
            raise ValueError("needs an admin key (ACTSERVE_ADMIN_KEY)")
        if value and not info.data.get("load_probe_seconds"):
            raise ValueError("needs trials of new models (ACTSERVE_LOAD_PROBE_SECONDS above 0)")
        return value
