"""POST /v1/activations/{name}: the right numbers by every way of sending them, or a reason why not."""

import httpx2
import numpy as np
import pytest
from starlette.testclient import TestClient

from service.activations.catalogue import ACTIVATIONS
from tests.routes.sending import (
    NPY,
    PNG,
    Array,
    apply,
    encoded,
    from_npy,
    numbers,
    refused,
    send,
    to_npy,
)

DTYPES = ("float16", "float32", "float64")
KERNELS = ("exact", "native")

NO_NATIVE_KERNEL = {("celu", "float16")} | {
    (name, "float64")
    for name in (
        "celu", "elu", "gelu", "hard_sigmoid", "hard_swish", "leaky_relu", "mish", "prelu", "selu", "softplus",
        "softsign", "thresholded_relu",
    )
}  # fmt: skip
"""What ONNX Runtime's CPU provider lacks; the exact kernel has them all."""

NATIVE_TOLERANCE = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-13}
"""Of 1 + |y|: the bare operators round after each step; activations.md lists how far they go."""

# Both sides of every kink and saturation, beside hard_sigmoid's −2.5: there float16's 0.2·x may fall on either side.
POINTS = np.array([[-30.0, -6.5, -2.25, -1.0, -0.5], [-1e-3, 0.0, 1e-3, 0.25, 0.5], [1.0, 1.5, 3.0, 7.0, 30.0]])
PIXELS = np.random.default_rng(3).integers(0, 256, (4, 5, 3), dtype=np.uint8)


def expected(name: str, x: Array, *, derivative: bool = False) -> Array:
    """The catalogue's reference in NumPy float64, of the x that were sent."""
    row = ACTIVATIONS[name]
    return (row.reference_derivative if derivative else row.reference)(x.astype(np.float64), row.bind({}))


def assert_close(y: Array, wanted: Array, dtype: str, kernel: str) -> None:
    assert y.shape == wanted.shape
    if kernel == "native":
        np.testing.assert_array_less(np.abs(y - wanted), NATIVE_TOLERANCE[dtype] * (1 + np.abs(wanted)))
    elif dtype == "float64":
        # The reference takes another route in the same precision; GELU's tail turns 1 ULP of x into x² ULP of y.
        np.testing.assert_allclose(y, wanted, rtol=1e-12, atol=1e-300)
    else:
        one_ulp = np.spacing(np.abs(wanted).astype(dtype)).astype(np.float64)
        np.testing.assert_array_less(np.abs(y - wanted), np.nextafter(one_ulp, 1.0))


def is_refused(response: httpx2.Response, name: str, dtype: str, kernel: str) -> bool:
    """Whether this is one of the combinations that do not exist; the answer must then say so."""
    if kernel == "exact" or (name, dtype) not in NO_NATIVE_KERNEL:
        assert response.status_code == 200, response.text
        return False
    text = refused(response, 400)
    assert f"{name}: ONNX Runtime has no native kernel" in text
    assert f"for {dtype} on the cpu; use kernel 'exact'" in text
    return True


each_function = pytest.mark.parametrize("name", ACTIVATIONS)
each_kernel = pytest.mark.parametrize("kernel", KERNELS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


@each_dtype
@each_kernel
@each_function
def test_json_is_answered_with_the_right_numbers(client: TestClient, name: str, kernel: str, dtype: str) -> None:
    response = apply(client, name, POINTS.tolist(), dtype=dtype, kernel=kernel, derivative=True)
    if is_refused(response, name, dtype, kernel):
        return
    answer = response.json()
    x = POINTS.astype(dtype)
    assert (answer["activation"], answer["kernel"], answer["dtype"]) == (name, kernel, dtype)
    assert (answer["shape"], answer["provider"]) == ([3, 5], "CPUExecutionProvider")
    assert_close(numbers(answer["data"]), expected(name, x), dtype, kernel)
    assert_close(numbers(answer["derivative"]), expected(name, x, derivative=True), dtype, kernel)


@each_dtype
@each_kernel
@each_function
def test_npy_keeps_shape_and_dtype(client: TestClient, name: str, kernel: str, dtype: str) -> None:
    x = POINTS.astype(dtype)
    response = send(client, f"/v1/activations/{name}?kernel={kernel}", to_npy(x), NPY)
    if is_refused(response, name, dtype, kernel):
        return
    assert response.headers["content-type"] == NPY
    y = from_npy(response.content)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert_close(y, expected(name, x), dtype, kernel)


@each_dtype
@each_kernel
@each_function
def test_pictures_are_tensors_from_0_to_1(client: TestClient, name: str, kernel: str, dtype: str) -> None:
    """The picture as the body and as a part of a form: the same numbers."""
    path, picture = f"/v1/activations/{name}?kernel={kernel}&dtype={dtype}", encoded(PIXELS)
    body = send(client, path, picture, PNG, accept=NPY)
    form = client.post(path, files={"file": ("any.bin", picture)}, headers={"accept": NPY})
    assert body.content == form.content
    if is_refused(body, name, dtype, kernel):
        return
    x = (PIXELS / 255).astype(dtype)
    y = from_npy(body.content)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert_close(y, expected(name, x), dtype, kernel)


@each_function
def test_npy_derivative_takes_the_outputs_place(client: TestClient, name: str) -> None:
    x = POINTS.astype(np.float32)
    response = send(client, f"/v1/activations/{name}?derivative=true", to_npy(x), NPY)
    assert_close(from_npy(response.content), expected(name, x, derivative=True), "float32", "exact")
