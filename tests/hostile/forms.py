"""M: multipart bodies that are malformed, or not what a form is for."""

import base64
from typing import Any

import numpy as np

from tests.hostile.cases import Answer, Case, post
from tests.hostile.heads import APPLY
from tests.routes.sending import encoded

PREDICT = "/v1/models/cnn-relu/predict"
GOOD = encoded(np.full((32, 32, 3), 90, np.uint8))
BOUNDARY = b"xYz"
END = b"--xYz--\r\n"
FILE = b'Content-Disposition: form-data; name="file"; filename="a.png"'
FIELD = b'Content-Disposition: form-data; name="a"'


def part(head: bytes, content: bytes = GOOD) -> bytes:
    return b"--xYz\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


def form(parts: bytes, boundary: bytes = b"boundary=xYz", path: str = PREDICT, end: bytes = END) -> Any:
    return post(path, parts + end, b"multipart/form-data; " + boundary)


GOOD_FORM = part(FILE)
MALFORMED: dict[str, tuple[bytes, bytes | None]] = {
    "M01 no boundary": (GOOD_FORM + END, b""),
    "M02 empty boundary": (GOOD_FORM + END, b"boundary="),
    "M02 empty quoted boundary": (GOOD_FORM + END, b'boundary=""'),
    "M03 another boundary": (GOOD_FORM + END, b"boundary=other"),
    "M03 boundary that is not ASCII": (GOOD_FORM + END, "boundary=é".encode()),
    "M04 long boundary": ((GOOD_FORM + END).replace(BOUNDARY, b"a" * 10_000), b"boundary=" + b"a" * 10_000),
    "M05 no name": (part(b"Content-Disposition: form-data") + END, None),
    "M06 no disposition": (part(b"Content-Type: image/png") + END, None),
    "M07 20 headers": (part(FILE + b"".join(b"\r\nX-%d: 1" % i for i in range(20))) + END, None),
    "M08 long header": (part(FILE + b"\r\nX: " + b"a" * 10_000) + END, None),
    "M09 1001 files": (part(FILE, b"x") * 1001 + END, None),
    "M10 1001 fields": (part(FIELD, b"x") * 1001 + END, None),
    "M11 no end": (GOOD_FORM, None),
    "M11 cut in the file": (GOOD_FORM[:100], None),
    "M11 cut in the header": (GOOD_FORM[:20], None),
    "M11 empty": (b"", None),
    "M11 end alone": (END, None),
    "M13 field": (part(FILE.replace(b'; filename="a.png"', b"")) + END, None),
    "M13 a file and a field": (GOOD_FORM + part(FIELD, b"3") + END, None),
    "M13 long field": (part(FIELD, b"x" * 2_000_000) + END, None),
    "M13 another name": (part(FILE.replace(b'"file"', b'"image"')) + END, None),
    "M13 names of emoji": (part(FILE.replace(b'"file"', b'"' + "😀".encode() * 900 + b'"')) + END, None),
    "M15 nested": (part(FILE + b"\r\nContent-Type: multipart/mixed; boundary=z", b"--z\r\n\r\nx\r\n--z--") + END, None),
    "M17 empty file": (part(FILE, b"") + END, None),
    "M19 base64": (part(FILE + b"\r\nContent-Transfer-Encoding: base64", base64.b64encode(GOOD)) + END, None),
    "M22 encoded name": (part(b"Content-Disposition: form-data; name=file; filename*=utf-8''%2e%2e%2f") + END, None),
    "M23 1 MB name": (part(FILE.replace(b'"file"', b'"' + b"a" * 2**20 + b'"')) + END, None),
    "M03 line feeds alone": ((GOOD_FORM + END).replace(b"\r\n", b"\n"), None),
}
"""The body, and the parameter of its content type if that is another."""

UNUSUAL = {
    "M12 a path as the file's name": (part(FILE.replace(b"a.png", b"../../etc/passwd")) + END, b"boundary=xYz"),
    "M03 quoted": (GOOD_FORM + END, b'boundary="xYz"'),
    "M03 another case": (GOOD_FORM + END, b"charset=x; Boundary=xYz"),
    "M03 all characters": ((GOOD_FORM + END).replace(BOUNDARY, b"a,'(b)?"), b'boundary="a,\'(b)?"'),
    "M11 no last line end": (GOOD_FORM + END[:-2], b"boundary=xYz"),
    "M18 400 kB of line ends before": (b"\r\n" * 200_000 + GOOD_FORM + END, b"boundary=xYz"),
    "M18 400 kB of line ends after": (GOOD_FORM + END + b"\r\n" * 200_000, b"boundary=xYz"),
}
"""Read as any other form."""


def _told(answer: Answer) -> bool:
    return b"multipart" in answer.body or b"is not a readable image" in answer.body


CASES = [
    *(
        Case(f"{name} {path}", form(body, b"boundary=xYz" if boundary is None else boundary, path, b""), (400,),
             holds=_told)
        for name, (body, boundary) in MALFORMED.items()
        for path in (PREDICT, APPLY)
    ),
    *(
        Case(name, form(body, boundary, PREDICT, b""), (200,), holds=lambda answer: b'"predictions"' in answer.body,
             cpu_seconds=0.1)
        for name, (body, boundary) in UNUSUAL.items()
    ),
    Case("M14 urlencoded", post(PREDICT, b"file=abc&" + b"a&" * 100_000, "application/x-www-form-urlencoded"), (415,)),
    Case("M16 two files for one picture", form(part(FILE) * 2, path=APPLY), (400,),
         "the multipart body cannot be read: Too many files. Maximum number of files is 1."),
    Case("M16 two files for a network", form(part(FILE) * 2), (200,),
         holds=lambda answer: answer.body.count(b'"top"') == 2),
]  # fmt: skip
