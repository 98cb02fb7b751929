"""GET / and the files that the page loads: what they are, how they are sent, and that nothing comes from elsewhere."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.routes.pages import PAGE, SAMPLES, TYPES, WEB

TEXTS = [PAGE, *TYPES]
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def text(name: str) -> str:
    return (WEB / name).read_text()


def test_the_first_page_is_the_page(client: TestClient) -> None:
    response = client.get("/")

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text == text(PAGE)


def test_the_page_leads_to_the_documentation() -> None:
    assert 'href="/docs"' in text(PAGE)


def test_the_page_may_run_its_own_script_and_speak_to_this_service_only(client: TestClient) -> None:
    headers = client.get("/").headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))

    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("name", TYPES)
def test_a_file_of_the_page_comes_as_what_it_is(client: TestClient, name: str) -> None:
    response = client.get(f"/web/{name}")

    assert response.status_code == 200
    assert response.headers["content-type"].startswith(KINDS[Path(name).suffix])
    assert response.text == text(name)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_a_jpeg(client: TestClient, name: str) -> None:
    response = client.get(f"/web/samples/{name}.jpg")

    assert (response.status_code, response.headers["content-type"]) == (200, "image/jpeg")
    assert response.content == (WEB / "samples" / f"{name}.jpg").read_bytes()


def test_every_file_of_the_folder_is_served() -> None:
    assert {path.name for path in WEB.iterdir() if path.is_file()} == {PAGE, *TYPES}
    assert {path.stem for path in (WEB / "samples").iterdir()} == set(SAMPLES)


@pytest.mark.parametrize(
    "name",
    ["x.js", "index.html", "samples", "../app.py", "..%2fapp.py", "%2e%2e", "app.js%00", "", "samples/x.jpg",
     "samples/..%2f..%2fapp.jpg", "samples/horse.png"],
)  # fmt: skip
def test_nothing_else_is_there(client: TestClient, name: str) -> None:
    response = client.get(f"/web/{name}")
    assert response.status_code == 404
    assert response.json()["error"]


@pytest.mark.parametrize("path", ["/", "/web/app.js", "/web/samples/horse.jpg"])
def test_head_is_answered_without_a_body(client: TestClient, path: str) -> None:
    head, whole = client.head(path), client.get(path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))


@pytest.mark.parametrize("path", ["/", "/web/app.js", "/web/samples/horse.jpg"])
def test_a_copy_that_is_still_right_is_not_sent_again(client: TestClient, path: str) -> None:
    first = client.get(path)
    again = client.get(path, headers={"If-None-Match": f'W/"other", W/{first.headers["etag"]}'})
    changed = client.get(path, headers={"If-None-Match": '"other"'})

    assert first.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert changed.status_code == 200


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_comes_from_elsewhere(name: str) -> None:
    """The names of XML's namespaces are no addresses to load from."""
    rest = re.sub(r'"http://www\.w3\.org/2000/svg"', "", text(name))
    assert re.findall(r"https?:|[\"'(]//\w", rest) == []


def test_the_page_has_no_script_or_style_within() -> None:
    page = text(PAGE)

    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:", page) == []
    assert set(re.findall(r'(?:src|href)="/web/([^"]+)"', page)) == {"app.js", "icon.svg", "style.css"}


@pytest.mark.parametrize("name", [name for name in TYPES if name.endswith(".js")])
def test_a_script_makes_no_markup_of_text(name: str) -> None:
    """Nor code, nor style attributes, which the policy forbids."""
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|style: [\"'`]"
    assert re.findall(forbidden, text(name)) == []


@pytest.mark.parametrize("name", [name for name in TYPES if name.endswith(".js")])
def test_a_script_imports_what_is_served(name: str) -> None:
    assert set(re.findall(r'from "\./([^"]+)"', text(name))) <= set(TYPES)


def words() -> dict[str, dict[str, str]]:
    """The dictionaries of words.js, by language."""
    parts = re.findall(r"^  (\w+): \{\n(.*?)^  \},$", text("words.js"), re.MULTILINE | re.DOTALL)
    return {language: dict(re.findall(r'^    (\w+): "(.*)",$', part, re.MULTILINE)) for language, part in parts}


def test_both_languages_have_the_same_words() -> None:
    found = words()

    assert set(found) == {"en", "zh"}
    assert len(found["en"]) > 50
    assert list(found["en"]) == list(found["zh"])
    assert all(word.strip() for language in found.values() for word in language.values())


def test_every_word_that_is_used_is_there_and_every_word_is_used() -> None:
    page, scripts = text(PAGE), "".join(text(name) for name in TYPES if name.endswith(".js") and name != "words.js")
    marked = set(re.findall(r'data-(?:word|label)="(\w+)"', page))
    asked = set(re.findall(r'\bt\("(\w+)"\)', scripts))
    known = set(words()["en"])

    assert marked | asked <= known
    unused = {word for word in known - marked - asked if f'"{word}"' not in scripts}
    assert unused <= {"cnn", "choosing", "article"}  # a claim is about one of these
