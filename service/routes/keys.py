"""Who may do what: holders of an API key everything but what changes the service, of the admin key that too.

Keys are kept and compared as digests, each time with all of them, so that the time it takes tells nothing.
"""

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from starlette.types import Scope

from service.errors import Unauthorized
from service.settings import Settings

MIN_LENGTH = 12
"""Of a key, in characters. At random from letters and digits it is then not found by trying."""

ADMIN = -1
"""Who holds the admin key."""


class InvalidKeys(Exception):
    """The settings' keys cannot be used; the text says which and why, and no key."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Digests of the keys.

    Attributes:
        api: none: nobody needs a key.
        admin: None: nobody may change the service.
    """

    api: tuple[bytes, ...] = ()
    admin: bytes | None = None

    @classmethod
    def read(cls, settings: Settings) -> "Keys":
        """Of the settings and the files that they name.

        Raises:
            InvalidKeys: a file cannot be read, or a key is too short.
        """
        api = [*_of_text(settings.api_keys, ","), *_of_file("ACTSERVE_API_KEYS_FILE", settings.api_keys_file)]
        admin = [*_of_text(settings.admin_key, "\n"), *_of_file("ACTSERVE_ADMIN_KEY_FILE", settings.admin_key_file)]
        for name, keys in (("API key", api), ("admin key", admin)):
            if any(len(key) < MIN_LENGTH for key in keys):
                raise InvalidKeys(f"an {name} is shorter than {MIN_LENGTH} characters")
        if len(admin) > 1:
            raise InvalidKeys("there is more than one admin key")
        return cls(tuple(map(digest, dict.fromkeys(api))), digest(admin[0]) if admin else None)

    def holder(self, given: bytes) -> int | None:
        """Whose key it is: the place of an API key, `ADMIN`, or None."""
        sent = hashlib.sha256(given).digest()
        found = [place for place, key in enumerate(self.api) if hmac.compare_digest(key, sent)]
        is_admin = self.admin is not None and hmac.compare_digest(self.admin, sent)
        return ADMIN if is_admin else (found[0] if found else None)


def digest(key: str) -> bytes:
    """Of equal length for keys of any length."""
    return hashlib.sha256(key.encode()).digest()


def given(scope: Scope) -> bytes | None:
    """The key that a request carries, as its bytes were sent: as bearer, else as `X-API-Key`. Other schemes are no key.

    Raises:
        Unauthorized: it carries several.
    """
    values = (value.partition(b" ") for value in _named(scope, b"authorization"))
    bearers = [key.strip() for scheme, _, key in values if scheme.lower() == b"bearer"]
    found = [key for key in bearers or _named(scope, b"x-api-key") if key]
    if len(found) > 1:
        raise Unauthorized("the request carries more than one key")
    return found[0] if found else None


def _named(scope: Scope, wanted: bytes) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == wanted]


def _of_text(text: SecretStr | None, separator: str) -> list[str]:
    parts = text.get_secret_value().split(separator) if text is not None else []
    return [part.strip() for part in parts if part.strip()]


def _of_file(variable: str, path: Path | None) -> list[str]:
    """One a line; `#` begins a comment, blank lines are nothing."""
    if path is None:
        return []
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidKeys(f"{variable}: {path} cannot be read: {_reason(error)}") from error
    keys = [key for line in lines if (key := line.partition("#")[0].strip())]
    if not keys:
        raise InvalidKeys(f"{variable}: {path} holds no key")
    return keys


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "" if isinstance(error, OSError) else "it is no text"
