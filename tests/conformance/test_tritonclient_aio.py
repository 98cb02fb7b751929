"""The asynchronous `tritonclient.http.aio`, unmodified, works too."""

import asyncio

import numpy as np
import pytest
import tritonclient.http.aio as triton
from tritonclient.utils import InferenceServerException


def tensor(value: np.ndarray) -> triton.InferInput:
    made = triton.InferInput("x", list(value.shape), "FP32")
    made.set_data_from_numpy(value)
    return made


def test_the_asynchronous_client_asks_many_things_at_once(address: str) -> None:
    async def main() -> None:
        async with triton.InferenceServerClient(address) as client:
            assert await client.is_server_live()
            assert await client.is_model_ready("echo_fp32")
            assert (await client.get_model_metadata("echo_fp32"))["name"] == "echo_fp32"
            assert (await client.get_model_config("echo_fp32"))["name"] == "echo_fp32"
            assert await client.get_model_repository_index()
            values = [np.full((2, 3), i, np.float32) for i in range(20)]
            answers = await asyncio.gather(*(client.infer("echo_fp32", [tensor(value)]) for value in values))
            for value, answer in zip(values, answers, strict=True):
                np.testing.assert_array_equal(answer.as_numpy("y"), value)

    asyncio.run(main())


def test_its_errors_are_told(address: str) -> None:
    async def main() -> None:
        async with triton.InferenceServerClient(address) as client:
            await client.infer("nothing", [tensor(np.zeros((1, 1), np.float32))])

    with pytest.raises(InferenceServerException, match="Request for unknown model"):
        asyncio.run(main())
