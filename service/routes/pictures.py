"""From the body of a request to what models take: pictures in any of their forms, or a tensor."""

from dataclasses import dataclass

import numpy as np
from fastapi import Request

from service.engine.model import Model, Port
from service.engine.runtime.session import Tensor
from service.engine.scheduler import Scheduler
from service.errors import BadRequest
from service.routes import examples, schemas
from service.routes.http import JSON, MULTIPART, NPY, checked, media_type, read_files, unsupported
from service.routes.state import Services
from service.settings import Settings
from service.wire import arrays, images
from service.wire.images import Picture, Preprocessing

SHORT_BODY_BYTES = 2**16
SHORT_PIXELS = 2**16
"""Up to these sizes bodies are read and pictures decoded in the event loop: a millisecond or two."""

BODY = examples.json_body(
    {"$ref": "#/components/schemas/Predict"},
    {"an image as a data URL": {"images": [examples.sample_data_url()]}},
    {
        "image/jpeg": examples.binary("An image; likewise PNG, WebP, BMP and GIF."),
        MULTIPART: examples.files("One or more images."),
        NPY: examples.binary("A tensor N×C×H×W, already preprocessed."),
    },
)
"""What `read` takes, for the OpenAPI document."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A body: its content type, and the files of a multipart body, else the one body."""

    kind: str
    bodies: list[bytes]

    @classmethod
    async def receive(cls, request: Request, settings: Settings) -> "Sent":
        """Receive the body.

        Raises:
            UnsupportedMediaType: none of the content types that are read.
            BadRequest: malformed multipart.
        """
        kind = media_type(request)
        if kind == MULTIPART:
            return cls(kind, await read_files(request, settings.max_images))
        if kind not in images.CONTENT_TYPES and kind not in (JSON, NPY):
            raise unsupported(request, (*images.CONTENT_TYPES, MULTIPART, JSON, NPY))
        return cls(kind, [await request.body()])

    @property
    def is_short(self) -> bool:
        """Whether it may be read in the event loop; of a `.npy` file only the header is."""
        return self.kind == NPY or sum(map(len, self.bodies)) <= SHORT_BODY_BYTES


def read(model: Model, sent: Sent, settings: Settings) -> Tensor | list[Picture]:
    """A tensor, or pictures of which only the headers have been read.

    Raises:
        BadRequest: the body is malformed, or not what the model takes.
        PayloadTooLarge: too many elements or pixels.
    """
    if sent.kind == JSON:
        return _from_json(model, sent.bodies[0], settings)
    if sent.kind == NPY:
        return arrays.read_npy(sent.bodies[0], max_elements=settings.max_tensor_elements)
    return _opened(model, sent.bodies, settings)


async def batch(model: Model, content: Tensor | list[Picture], scheduler: Scheduler) -> Tensor:
    """The model's input; small pictures are decoded in the event loop."""
    if not isinstance(content, list):
        return content
    return await prepared(content, preprocessing(model), scheduler)


async def prepared(pictures: list[Picture], how: Preprocessing, scheduler: Scheduler) -> Tensor:
    """Pictures as one tensor."""
    return await scheduler.work(
        lambda: _stacked([picture.prepared(how) for picture in pictures]),
        short=sum(picture.pixels for picture in pictures) <= SHORT_PIXELS,
    )


async def feeds(model: Model, sent: Sent, services: Services) -> dict[str, Tensor]:
    """The model's inputs, checked.

    Raises:
        BadRequest, PayloadTooLarge: as `read`, or the tensor is not what the model takes.
    """
    scheduler = services.scheduler
    content = await scheduler.work(lambda: read(model, sent, services.settings), short=sent.is_short)
    found = {only_input(model).name: await batch(model, content, scheduler)}
    model.check(found)
    return found


def _stacked(pictures: list[Tensor]) -> Tensor:
    return pictures[0][None] if len(pictures) == 1 else np.stack(pictures)


def only_input(model: Model) -> Port:
    """The model's input.

    Raises:
        BadRequest: it has more than one, or none.
    """
    if len(model.inputs) != 1:
        names = [port.name for port in model.inputs]
        raise BadRequest(f"model {model.name!r} takes inputs {names}; send them to /v2/models/{model.name}/infer")
    return model.inputs[0]


def _from_json(model: Model, body: bytes, settings: Settings) -> Tensor | list[Picture]:
    asked = checked(schemas.Predict, arrays.parse_json(body, max_depth=settings.max_json_depth), "the body")
    if (asked.images is None) == (asked.data is None):
        raise BadRequest("the body must hold either 'images' or 'data'")
    if asked.images is None:
        port = only_input(model)
        if not port.datatype.has_json:
            place = f"/v2/models/{model.name}/infer"
            raise BadRequest(f"{port.datatype.name} is not read from JSON; send it as binary data to {place}")
        return arrays.from_json(asked.data, port.datatype.numpy, name="data", max_elements=settings.max_tensor_elements)
    _check_count(len(asked.images), settings)
    limit = settings.max_body_bytes
    return _opened(
        model,
        [images.from_base64(text, name=f"images[{i}]", max_bytes=limit) for i, text in enumerate(asked.images)],
        settings,
    )


def _check_count(count: int, settings: Settings) -> None:
    if not 1 <= count <= settings.max_images:
        raise BadRequest(f"got {count} images, expected 1 to {settings.max_images}")


def preprocessing(model: Model) -> Preprocessing:
    """How the model wants a picture.

    Raises:
        BadRequest: it does not say so.
    """
    how = model.description.preprocessing
    if how is None:
        raise BadRequest(f"model {model.name!r} does not say how to prepare an image; send a tensor as 'data' or .npy")
    return how


def _opened(model: Model, files: list[bytes], settings: Settings) -> list[Picture]:
    preprocessing(model)
    _check_count(len(files), settings)
    pixels, side = settings.max_image_pixels, settings.max_image_side_pixels
    return [
        Picture.open(content, max_pixels=pixels, max_side=side, name=f"image {index}")
        for index, content in enumerate(files)
    ]
