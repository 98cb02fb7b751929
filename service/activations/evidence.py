"""The article's claims and what was measured of each, as `models/evidence.py` writes them; read once, at start.

Nothing is measured or judged here: a verdict stands in the file beside its numbers and the rule that led to it. A file
that does not fit stops the start, for a verdict that is half there would be a false one. Figures are held in memory, so
that no name which a client sends ever reaches the disk.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from service.activations.catalogue import ACTIVATIONS
from service.errors import NotFound, did_you_mean, quoted

log = logging.getLogger("actserve.evidence")

FILE = "claims.json"
SWAPS = "swaps.json"
"""The experiment that swaps the activations of the served CNNs."""

ABOUT = (*ACTIVATIONS, "cnn", "choosing", "article")
"""What a claim can be about: a function, or what the article says of CNNs, of choosing, or at large."""

Verdict = Literal["holds", "holds in part", "does not hold here"]
Text = Annotated[str, Field(min_length=1)]


File = TypeVar("File", bound=BaseModel)


class InvalidEvidence(Exception):
    """The claims, or a figure of theirs, cannot be read; says where."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ClaimNumber(_Record):
    """A measured number."""

    name: Text
    value: float
    unit: str = Field(description="Empty for a plain number.")
    low: float | None = Field(None, description="Lower end of the 95 % confidence interval.")
    high: float | None = Field(None, description="Upper end of the 95 % confidence interval.")
    n: int | None = Field(None, ge=1, description="How many independent measurements.")
    p: float | None = Field(None, ge=0, le=1, description="Of the test that the criterion names.")

    @model_validator(mode="after")
    def _interval_has_an_order(self) -> "ClaimNumber":
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low is {self.low:g}, above high, which is {self.high:g}")
        return self


class Claim(_Record):
    """A sentence of the article, how it was measured, and what came of it."""

    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)
    about: str = Field(description="A function's name, or `cnn`, `choosing` or `article`.")
    sentence: Text = Field(description="The article's claim, in English.")
    sentence_zh: Text = Field(description="The same in Chinese.")
    experiment: Text = Field(description="The experiment whose raw numbers are in the repository.")
    method: Text
    criterion: Text = Field(description="The rule, fixed before measuring, that makes a verdict of the numbers.")
    numbers: tuple[ClaimNumber, ...]
    verdict: Verdict
    because: Text = Field(description="The verdict's reason, with the figures.")
    figure: str | None = Field(pattern=r"^[A-Za-z0-9_-]+\.svg$", description="At `/v1/claims/{id}/figure`.")
    command: Text
    machine: Text
    date: Text

    @field_validator("about")
    @classmethod
    def _is_known(cls, about: str) -> str:
        if about not in ABOUT:
            raise ValueError(f"{quoted(about)} is neither a function nor one of {', '.join(ABOUT[len(ACTIVATIONS) :])}")
        return about


class ClaimsFile(_Record):
    """The whole file."""

    article: Text
    generated: str
    claims: tuple[Claim, ...]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> "ClaimsFile":
        ids = [claim.id for claim in self.claims]
        again = sorted({name for name in ids if ids.count(name) > 1})
        if again:
            raise ValueError(f"more than one claim has the id {', '.join(again)}")
        return self


class Swaps(_Record):
    """What trained CNNs are worth with another function in the place of their own activations."""

    models: tuple[str, ...]
    functions: tuple[str, ...]
    accuracy: Mapping[str, Mapping[str, float]] = Field(
        description="By model and function: share of validation pictures classified rightly."
    )


class _Experiment(BaseModel):
    """What is read of an experiment's file."""

    summary: Swaps


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is served: claims by id, in the article's order, figures by file name, and what swapped CNNs are worth."""

    claims: Mapping[str, Claim] = field(default_factory=dict)
    figures: Mapping[str, bytes] = field(default_factory=dict)
    swaps: Swaps | None = None

    def find(self, name: str) -> Claim:
        """Return the claim of that id.

        Raises:
            NotFound: there is none; suggests the nearest.
        """
        claim = self.claims.get(name)
        if claim is None:
            raise NotFound(f"no claim {quoted(name)}.{did_you_mean(name, self.claims)} /v1/claims lists them all")
        return claim

    def figure(self, name: str) -> bytes:
        """Return the SVG of a claim.

        Raises:
            NotFound: there is no such claim, or it has none.
        """
        claim = self.find(name)
        if claim.figure is None:
            raise NotFound(f"claim {claim.id!r} has no figure")
        return self.figures[claim.figure]

    def ids(self, about: str) -> list[str]:
        """The ids of all claims about something in ABOUT."""
        return [claim.id for claim in self.claims.values() if claim.about == about]


def read(folder: Path) -> Evidence:
    """Read what is served of a folder: the claims and their figures, and the swaps; nothing where there is no file.

    Raises:
        InvalidEvidence: a file does not have its form, or a figure is missing.
    """
    file = _parsed(folder / FILE, ClaimsFile)
    claims = file.claims if file else ()
    names = sorted({claim.figure for claim in claims if claim.figure is not None})
    measured = _parsed(folder / SWAPS, _Experiment)
    return Evidence(
        {claim.id: claim for claim in claims},
        {name: _figure(folder / name) for name in names},
        measured.summary if measured else None,
    )


def _parsed(path: Path, form: type[File]) -> File | None:
    """The file's content; None where there is no file."""
    try:
        return form.model_validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        log.info("there is no %s, so what it says is not served", path)
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the file"
        raise InvalidEvidence(f"{path}: {place}: {fault['msg']}") from error


def _figure(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> InvalidEvidence:
    return InvalidEvidence(f"{path}: {error.strerror}")
