"""Every setting, read once at start from the environment: `ACTSERVE_<NAME>`. Units are in the names."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
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
    threads: int = Field(
        0, ge=0, le=1024, description="CPU threads of one inference; 0 is the CPU quota divided by the workers."
    )
    admin_key: SecretStr | None = Field(
        None, min_length=8, description="Key for what changes the running service; while there is none, that is off."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level logged.")
    max_body_bytes: int = Field(64 * 2**20, ge=1024, description="Largest request body.")
    max_tensor_elements: int = Field(16 * 2**20, ge=1, description="Most elements in one tensor.")
    max_image_pixels: int = Field(25_000_000, ge=1, description="Most pixels in one image (width by height).")
    max_image_side_pixels: int = Field(8192, ge=1, description="Longest side of an image.")
    max_images: int = Field(64, ge=1, description="Most images in one request.")
    max_compared: int = Field(32, ge=1, le=256, description="Most models, or functions, in one comparison.")
    max_cached_variants: int = Field(
        32, ge=1, description="Sessions kept of models whose activations are swapped or looked at."
    )
    max_inspected_elements: int = Field(
        2**26, ge=1, description="Most numbers in all layers and images of one look into a model; four bytes each."
    )
    max_cached_activations: int = Field(256, ge=1, description="Activation graphs kept, one a set of parameters.")
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
