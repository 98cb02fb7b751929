"""How the requests of a model wait and are merged."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What the service sets for all models.

    Attributes:
        max_batch_size: rows of one run where `model.toml` sets no other number.
        max_queue_rows: rows that may wait for a model where `model.toml` sets no other number.
        max_request_rows: rows of one request to a model that batches.
    """

    max_batch_size: int = 1024
    max_queue_rows: int = 8192
    max_request_rows: int = 2**16


@dataclass(frozen=True, slots=True)
class Rules:
    """The names are those of Triton's model configuration.

    Attributes:
        max_batch_size: rows of one run; a request that has more is run alone. 0: nothing is merged.
        max_queue_delay_microseconds: how long the oldest request may wait for others while a slot is free.
        preferred_batch_size: with a delay: of these sizes a batch leaves before it.
        max_queue_size: rows that may wait; a request that would make it more is refused.
        default_timeout_microseconds: how long a request may wait that does not say; 0 for ever.
        count: runs at a time.
    """

    max_batch_size: int = 0
    max_queue_delay_microseconds: int = 0
    preferred_batch_size: tuple[int, ...] = ()
    max_queue_size: int = 8192
    default_timeout_microseconds: int = 0
    count: int = 1
