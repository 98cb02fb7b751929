"""Measure the served classifiers again, through the service, and compare with what their cards say.

    python -m models.evaluate --data cifar10.zip                              # starts a service and stops it afterwards
    python -m models.evaluate --data cifar10.zip --url http://127.0.0.1:8000  # asks the one that runs there

Every validation picture goes to `POST /v1/models/{name}/predict` as a file, of every classifier whose card has a
`validation_accuracy`. The exit code is 0 if all cards are right, 1 if an accuracy differs from its card by more than
0.1 points, 2 if that could not be found out.
"""

import argparse
import contextlib
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from models import data
from models.calibration import Calibration, measure
from models.client import IN_FLIGHT, Failure, Service, connected, running

PER_REQUEST = 64
"""Pictures in one request: as many as a service takes by default."""
TOLERANCE = 0.001
"""How far an accuracy may be from its card: of 5,000 pictures 5."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is sent.

    Attributes:
        files: N pictures as JPEG or PNG.
        split: all pictures decoded, of which `files` are those at `index`.
        index: int64 [N].
    """

    files: Sequence[bytes]
    split: data.Split
    index: np.ndarray[tuple[int], np.dtype[np.int64]]

    @classmethod
    def read(cls, source: Path, limit: int | None) -> "Pictures":
        """Read the validation set, or `limit` pictures at even distances in it.

        Raises:
            Failure: there is none, or it cannot be read.
        """
        try:
            split, files = data.read_files(source, "validation")
        except (OSError, ValueError) as error:
            raise Failure(str(error)) from error
        count = min(limit or len(files), len(files))
        index = np.arange(count) * len(files) // count
        return cls([files[i] for i in index], split, index)

    def truths(self, labels: Sequence[str], *, binary: bool) -> list[str]:
        """The right label of each picture.

        Raises:
            ValueError: the classes are not among the model's labels, or have no binary form.
        """
        split = data.binary(self.split) if binary else self.split
        if not set(split.classes) <= set(labels):
            raise ValueError(f"its labels are {', '.join(labels)}, but the pictures' {', '.join(split.classes)}")
        return [split.classes[target] for target in split.targets[self.index]]

    @property
    def left_out(self) -> float:
        """Share of the validation set that is not sent."""
        return 1 - len(self.files) / len(self.split.targets)


@dataclass(frozen=True, slots=True)
class Model:
    """A classifier, and what its card says."""

    name: str
    binary: bool
    labels: Sequence[str]
    accuracy: float
    sha256: str | None

    @classmethod
    def of(cls, shown: Mapping[str, Any]) -> "Model | None":
        """From the service's description; None if it is no classifier with an accuracy on its card."""
        card = shown.get("card")
        kind = str(shown.get("kind"))
        if kind not in ("classifier", "binary_classifier") or not isinstance(card, dict) or not shown.get("labels"):
            return None
        accuracy = card.get("validation_accuracy")
        if not isinstance(accuracy, int | float):
            return None
        measured_on = card.get("data")
        validation = measured_on.get("validation") if isinstance(measured_on, dict) else None
        sha256 = validation.get("sha256") if isinstance(validation, dict) else None
        return cls(shown["name"], kind == "binary_classifier", shown["labels"], float(accuracy), sha256)


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured of a model.

    Attributes:
        accuracy: share of pictures whose `label` in the answer is right.
        allowed: largest difference from the card that is chance or rounding.
        rate: pictures a second.
    """

    model: Model
    accuracy: float
    allowed: float
    calibration: Calibration
    rate: float

    @property
    def agrees(self) -> bool:
        return abs(self.accuracy - self.model.accuracy) <= self.allowed


def chosen(shown: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Model]:
    """The models to be measured: those named, or all that can be.

    Raises:
        Failure: one that is named is not there or cannot be measured; or there is none.
    """
    models = {str(each["name"]): Model.of(each) for each in shown}
    measurable = {name: model for name, model in models.items() if model}
    for name in names:
        if name not in measurable:
            raise Failure(f"{name} is no classifier that is served with an accuracy on its card: {_all(measurable)}")
    if not measurable:
        raise Failure("no classifier is served that has an accuracy on its card")
    for name in set(models) - set(measurable):
        print(f"{name} is left out: it is not served, or no classifier with an accuracy on its card", file=sys.stderr)
    return [measurable[name] for name in names or measurable]


def _all(names: Mapping[str, object]) -> str:
    return f"there are {', '.join(names)}" if names else "there is none"


def evaluate(service: Service, model: Model, pictures: Pictures) -> Result:
    """Send all pictures to a model.

    Raises:
        Failure: it cannot be asked, or its answers cannot be compared.
    """
    try:
        truths = pictures.truths(model.labels, binary=model.binary)
    except ValueError as error:
        raise Failure(f"{model.name} cannot be measured on these pictures: {error}") from error
    started = time.perf_counter()
    answers = _answers(service, model.name, pictures.files, truths)
    elapsed_s = time.perf_counter() - started
    right = _right(answers, truths)
    try:
        calibration = measure([each["probabilities"] for each in answers], [*map(model.labels.index, truths)])
    except (KeyError, TypeError, ValueError) as error:
        raise Failure(f"{model.name} answers with probabilities that are none: {error}") from error
    count = len(truths)
    allowed = TOLERANCE + _chance(model.accuracy, count, pictures.left_out) + 1e-9
    return Result(model, right / count, allowed, calibration, count / elapsed_s)


def _chance(accuracy: float, count: int, left_out: float) -> float:
    """Four standard deviations of the accuracy of `count` pictures, drawn from a set of which a share is left out."""
    return 4 * math.sqrt(accuracy * (1 - accuracy) / count * left_out)


def _answers(service: Service, name: str, files: Sequence[bytes], truths: Sequence[str]) -> list[dict[str, Any]]:
    """Ask with several requests at once, and show how far that is; the answers are in order."""
    answers: list[dict[str, Any]] = []
    starts = range(0, len(files), PER_REQUEST)
    with (
        ThreadPoolExecutor(IN_FLIGHT) as threads,
        tqdm.tqdm(total=len(files), desc=name, unit=" pictures", dynamic_ncols=True) as bar,
    ):
        for part in threads.map(lambda start: service.predict(name, files[start : start + PER_REQUEST]), starts):
            answers += part
            share = _right(answers, truths) / len(answers)
            bar.set_postfix_str(f"accuracy {share:.2%}", refresh=False)
            bar.update(len(part))
    return answers


def _right(answers: Sequence[Mapping[str, Any]], truths: Sequence[str]) -> int:
    return sum(answer.get("label") == truth for answer, truth in zip(answers, truths, strict=False))


def table(results: Sequence[Result]) -> str:
    """Markdown, a row for each model."""
    head = ("model", "accuracy", "on its card", "ECE ± floor (95 %)", "NLL", "pictures/s")
    rows = [head, ("---",) * len(head), *map(_row, results)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(result: Result) -> tuple[str, ...]:
    found = result.calibration
    return (
        result.model.name,
        f"{100 * result.accuracy:.2f} %",
        f"{100 * result.model.accuracy:.2f} %" + ("" if result.agrees else " ✗"),
        f"{100 * found.ece:.2f} ± {100 * found.ece_floor_95:.2f} %",
        f"{found.nll:.4f}",
        f"{result.rate:,.0f}",
    )


def remarks(results: Sequence[Result], pictures: Pictures) -> Iterator[str]:
    """What the table leaves to be said."""
    if pictures.left_out:
        count = len(pictures.files)
        yield f"{count} of {len(pictures.split.targets)} pictures: chance is allowed for, four standard deviations"
    for result in results:
        difference = 100 * (result.accuracy - result.model.accuracy)
        if not result.agrees:
            allowed = f"{100 * result.allowed:.2f} are allowed"
            yield f"{result.model.name}: the accuracy is {difference:+.2f} points from its card's; {allowed}"
        if not result.agrees and result.model.sha256 not in (None, pictures.split.sha256):
            yield f"{result.model.name}: its card was measured on other pictures than these, by their sha256"


def main(arguments: list[str]) -> int:
    """Measure, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10, in any form that `models.data` reads")
    parser.add_argument("--url", help="of a running service; without it one is started")
    parser.add_argument("--limit", type=_positive, help="so many pictures, spread over the validation set")
    parser.add_argument("--models", nargs="+", default=[], metavar="NAME", help="default: every classifier with a card")
    options = parser.parse_args(arguments)
    address: AbstractContextManager[str] = contextlib.nullcontext(options.url) if options.url else running()
    try:
        pictures = Pictures.read(options.data, options.limit)
        with address as url, connected(url) as service:
            results = [evaluate(service, model, pictures) for model in chosen(service.models(), options.models)]
    except Failure as failure:
        print(f"evaluate: {failure}", file=sys.stderr)
        return 2
    print(table(results))
    for remark in remarks(results, pictures):
        print(remark)
    return 0 if all(result.agrees for result in results) else 1


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a number of pictures")
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
