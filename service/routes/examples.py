"""What the OpenAPI page offers to try: every example here is sent by a test and answered with 200."""

import base64
from pathlib import Path
from typing import Any

SAMPLE = Path(__file__).parent.parent / "web" / "samples" / "horse.jpg"


def sample_data_url() -> str:
    """A small JPEG, inline."""
    return "data:image/jpeg;base64," + base64.b64encode(SAMPLE.read_bytes()).decode()


def json_body(schema: dict[str, Any], examples: dict[str, Any], others: dict[str, Any] | None = None) -> dict[str, Any]:
    """An OpenAPI request body that is JSON, with examples, or one of the other content types."""
    named = {name: {"summary": name, "value": value} for name, value in examples.items()}
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "examples": named}} | (others or {}),
        }
    }


def binary(description: str) -> dict[str, Any]:
    return {"schema": {"type": "string", "format": "binary", "description": description}}


def files(description: str) -> dict[str, Any]:
    one = {"type": "string", "format": "binary"}
    return {
        "schema": {
            "type": "object",
            "required": ["file"],
            "properties": {"file": {"type": "array", "items": one, "description": description}},
        }
    }


def path_examples(*values: str) -> dict[str, Any]:
    """Examples of a path parameter: the first is filled in."""
    return {value: {"value": value} for value in values}
