"""Comparing what is printed with what is shown is neither too strict nor too lax."""

import pytest

from tests.clients.snippets import read, same

PAGE = """# Title

```bash
echo 1
```
```text
1
```

## More

```js
alert(1)
```

Then:

```text
stray
```
"""


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("horse 0.994\n", "horse 0.994\n"),
        ("horse 0.9936\n", "horse 0.994\n"),
        ("-1.5e-8 x\n", "-2.0e-8 x\n"),
        ('{"a":1,"b":[2,3]}\n', '{"a":1,…]}\n'),
        ("(a|b)* [1]\n", "(a|b)* [1]\n"),
    ],
)
def test_the_same_output(printed: str, shown: str) -> None:
    assert same(printed, shown)


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("horse 0.990\n", "horse 0.994\n"),
        ("horse 1\n", "horse 1.0\n"),
        ("index 7\n", "index 8\n"),
        ("a\nb\n", "a\n"),
        ("a\nb\n", "a…b\n"),
        ("", "a\n"),
        ("7.0 dog\n", "7.0 cat\n"),
    ],
)
def test_another_output(printed: str, shown: str) -> None:
    assert not same(printed, shown)


def test_only_an_output_right_below_a_block_is_its_own() -> None:
    first, second = read(PAGE)

    assert (first.heading, first.language, first.code, first.shown, first.line) == (
        "Title",
        "bash",
        "echo 1\n",
        "1\n",
        3,
    )
    assert (second.heading, second.language, second.shown) == ("More", "js", None)
