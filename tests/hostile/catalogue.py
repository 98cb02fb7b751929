"""The numbers of the catalogue: what each sends, and where those are tested that no table holds.

`python -m tests.hostile.catalogue` writes docs/hostile.md anew.
"""

from pathlib import Path

from tests.hostile import slow
from tests.hostile.sections import SECTIONS
from tests.serving import ROOT

PAGE = ROOT / "docs" / "hostile.md"

TITLES = {
    "H": "HTTP",
    "J": "JSON",
    "T": "Tensors",
    "B": "Tensors as bytes",
    "I": "Pictures",
    "M": "Forms",
    "Q": "Queries and headers",
    "R": "The repository's control",
    "P": "Names",
}

NUMBERS = {
    "H01": "TLS on the plain port",
    "H02": "the preface of HTTP/2",
    "H03": "HTTP/9.9",
    "H04": "HTTP/1.0 without Host",
    "H05": "HTTP/1.1 without Host",
    "H06": "Host twice",
    "H07": "a Host that is a path, empty, or 10 kB long: changes no right",
    "H08": "a blank in a header's name; NUL or CR in a value",
    "H09": "a folded header line",
    "H10": "line feeds alone",
    "H11": "two different lengths",
    "H12": "the same length twice",
    "H13": "lengths such as `-3`, `+11`, `0xb`, `11,11`, 23 digits",
    "H14": "a length and chunks",
    "H15": "other transfer codings than one `chunked`",
    "H16": "chunk sizes that are none",
    "H17": "a chunk of 2⁶⁴ bytes, then silence",
    "H18": "a chunk extension of 100 kB",
    "H19": "a million chunks of one byte",
    "H20": "10 TB announced: refused unread",
    "H21": "a byte more than the limit, with a length and in chunks",
    "H22": "too long, with `Expect: 100-continue`: no 100",
    "H23": "`Expect: 100-continue`, then silence",
    "H24": "more than was announced: the first request may be answered, the rest is none",
    "H25": "a connection on which nothing is sent: 408 or closed",
    "H26": "half a head; byte by byte",
    "H27": "half a body; byte by byte",
    "H28": "40 MB of headers, a path of 20 MB",
    "H29": "1000 headers",
    "H30": "a client that never reads its 50 MB: cut",
    "H31": "a thousand clients that leave at once: nothing stays in flight",
    "H32": "twenty requests in a row without waiting: answered in order",
    "H33": "other methods, told which are allowed; methods that are none",
    "H34": "OPTIONS from another origin: no `Access-Control-…`",
    "H35": "absolute and foreign addresses in the request line: no redirect",
    "H36": "upgrades to WebSocket and HTTP/2: a plain answer",
    "H37": "UTF-8 in the request line",
    "H38": "another case, slashes more or at the end: no redirect",
    "J01": "no body",
    "J02": "JSON that is no object, or an empty one",
    "J03": "what is nearly JSON",
    "J04": "a name twice in an object: the last one counts",
    "J05": "`NaN`, `Infinity` as bare words",
    "J06": "`1e999`",
    "J07": "lists and objects nested 65 to 200,000 deep, in 0.1 s of processor time",
    "J08": "a value 250,000 deep for the repository's index",
    "J09": "an integer of 5000 digits",
    "J10": "invalid UTF-8",
    "J11": "UTF-16, UTF-32",
    "J12": "a byte order mark",
    "J13": "a lone surrogate",
    "J14": "other content types: 415 under `/v1`; `/v2/…/infer` reads JSON whatever it is called, as Triton",
    "J15": "900 kB of text where a list is expected",
    "J16": "unknown members: ignored under `/v2`, refused under `/v1`; files to log to",
    "J17": "ids that are no text, or too long; others come back escaped",
    "J18": "content encodings that are not read",
    "J19": "gzip that is cut, changed or continued; a bomb of 1 GB",
    "J20": "100,000 members, inputs, outputs",
    "T01": "no inputs, or what is no list of them",
    "T02": "an input that is missing, unknown, or there twice",
    "T03": "outputs that are unknown, or there twice; none listed is all",
    "T04": "shapes that are none",
    "T05": "negative dimensions",
    "T06": "no rows: an empty answer",
    "T07": "shapes whose product wraps around 2⁶⁴",
    "T08": "70 dimensions",
    "T09": "another number of elements; nested otherwise than the shape, which V2 allows",
    "T10": "ragged lists: refused under `/v1`, counted under `/v2`",
    "T11": "a shape that the model does not take",
    "T12": "more rows than a run, in several; more than a request may have",
    "T13": "datatypes that are none",
    "T14": "another datatype than the model's",
    "T15": "elements of another kind",
    "T16": "numbers that the datatype does not hold",
    "T17": "numbers beyond float32, float16",
    "T18": "2⁵³ + 1 as float32: rounded",
    "T19": "texts: too few, no text, a lone surrogate; NUL and 3 MB are fine",
    "T20": "outputs that are not finite: `null`",
    "T21": "one bad row among 32: fails alone",
    "T22": "an input that makes the model take 4 TB",
    "T23": "parameters of the wrong kind",
    "T24": "shared memory",
    "T25": "classification of a wrong count; 0 and more than there are is fine",
    "T26": "versions that are none",
    "B01": "lengths of the JSON that are none",
    "B02": "a length without bytes, bytes without a length",
    "B03": "a raw request where the shape cannot be told",
    "B04": "fewer or more bytes than announced; a request cut at every byte",
    "B05": "sizes that are none, or not the shape's",
    "B06": "data and bytes for one input",
    "B07": "texts whose lengths lie",
    "B08": "booleans other than 0 and 1",
    "B09": "NaNs of every bit pattern: come back as they are",
    "B10": "tensors at any address: the same answer",
    "B11": "JSON cut in a character",
    "B12": "compressed, with a length beyond the body",
    "B13": "bytes wanted of an output that is not there",
    "B14": "64 MB: come back bit for bit",
    "I01": "what is no picture",
    "I02": "PNGs of 20,000 × 20,000 pixels, of 2³¹, of none",
    "I03": "12,000 × 12,000 pixels in 18 kB",
    "I04": "texts, profiles and EXIF data that unfold, or go in circles",
    "I05": "cut and changed files; a tail is fine",
    "I06": "CMYK, palettes, 16 bits, transparency: read as documented",
    "I07": "EXIF orientations: turned",
    "I08": "10,000 frames: the first counts",
    "I09": "a JPEG of 25 megapixels in 10,000 passes",
    "I10": "what is not base64",
    "I11": "addresses: nothing is fetched",
    "I12": "1 × 1, 1 × 8192, 8192 × 1 pixels",
    "I13": "two formats in one file",
    "I14": "more pictures than a request may have",
    "M01": "no boundary",
    "M02": "an empty boundary",
    "M03": "another boundary; unusual ones are read",
    "M04": "a boundary of 10 kB",
    "M05": "a part without a name",
    "M06": "a part without a disposition",
    "M07": "20 headers of a part",
    "M08": "a part's header of 10 kB",
    "M09": "1001 files",
    "M10": "1001 fields",
    "M11": "no end",
    "M12": "a path as the file's name: never used",
    "M13": "fields in place of, or beside, the file",
    "M14": "a form that is urlencoded",
    "M15": "a form in a form",
    "M16": "two files: as many as the route takes",
    "M17": "an empty file",
    "M18": "400 kB of line ends around it: in 0.1 s of processor time",
    "M19": "base64 in a part",
    "M20": "a file of 200 MB: refused, no temporary file stays",
    "M21": "200 uploads that break off: no temporary file, no descriptor stays",
    "M22": "an encoded file name alone",
    "M23": "a name of 1 MB",
    "Q01": "`top_k` of what is no number from 1 to 1000, or twice",
    "Q02": "3000 parameters",
    "Q03": "control characters and invalid UTF-8",
    "Q04": "unknown parameters",
    "Q05": "request ids that are too long or not printable: not taken over",
    "Q06": "`Accept` of what the route cannot answer with",
    "Q07": "what is no key",
    "Q08": "`X-Forwarded-…`: ignored",
    "Q09": "a malformed `traceparent`: ignored",
    "Q10": "`Range`, `If-Match`: ignored",
    "Q11": "length 0, and a body",
    "Q12": "64 kB of cookies",
    "R08": "loads and unloads in a storm: a server that is ready",
    "R10": "loads without the admin key",
    "P": "names such as `../etc`, `a\\0b`, `%2e%2e`, `$(id)`, each on 26 routes",
}

ELSEWHERE = {
    "H19": ("200", "tests/hostile/test_large.py::test_a_million_chunks_of_a_byte"),
    "H30": ("cut", "tests/hostile/test_slow.py::test_a_client_that_reads_nothing_of_its_answer_is_cut"),
    "H31": ("–", "tests/hostile/test_large.py::test_clients_that_leave_at_once_leave_nothing"),
    "B09": ("200", "tests/routes/test_v2_binary.py::test_every_datatype_comes_back_bit_for_bit"),
    "B10": ("200", "tests/routes/test_v2_binary.py::test_every_datatype_comes_back_bit_for_bit"),
    "B14": ("200", "tests/hostile/test_large.py::test_64_megabytes_of_tensor_come_back_bit_for_bit"),
    "I06": ("200", "tests/wire/test_images.py::test_each_mode_becomes_grey_or_colour"),
    "I07": ("200", "tests/wire/test_images.py::test_the_picture_is_turned_as_its_exif_says"),
    "M20": ("413", "tests/hostile/test_large.py::test_a_file_of_200_megabytes_is_refused_and_leaves_nothing"),
    "M21": ("–", "tests/hostile/test_large.py::test_uploads_that_break_off_leave_nothing"),
    "R08": (
        "200, 404, 503",
        "tests/hostile/test_large.py::test_loads_and_unloads_in_a_storm_leave_a_server_that_is_ready",
    ),
}
"""Statuses, and the test."""


def statuses() -> dict[str, str]:
    """By number: those that its cases may be answered with."""
    found: dict[str, set[int]] = {}
    for case in [case for cases in SECTIONS.values() for case in cases]:
        found.setdefault(case.number, set()).update(case.statuses)
    for slowly in slow.CASES:
        found.setdefault(slowly.id.partition(" ")[0], set()).update(slowly.statuses)
    told = {number: ", ".join(map(str, sorted(each))) for number, each in found.items()}
    return told | {number: status for number, (status, _) in ELSEWHERE.items()}


INTRODUCTION = """# Hostile input

What is sent to a running server by `tests/hostile`, and which statuses it may be answered with.
Below 400 the answer is checked too. Where there are several, the cases of the number differ, or more than one is right.
After each case the server is alive, its answers to known-good requests are the very same, its log has no traceback,
and the error is `{"error": "…"}` of at most 2 kB that tells nothing of the server's insides.
Each section is sent over and over: memory, open descriptors and the requests in flight stay as they were.
The OpenAPI document is held against a running server with Schemathesis.

This page is written by `python -m tests.hostile.catalogue`; a test compares it with the tables.
"""


def page() -> str:
    told = statuses()
    parts = [INTRODUCTION]
    for letter, title in TITLES.items():
        rows = [f"| {n} | {text} | {told[n]} |" for n, text in NUMBERS.items() if n.startswith(letter)]
        parts.append("\n".join([f"## {title}\n", "| number | what is sent | status |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    Path(PAGE).write_text(page())
