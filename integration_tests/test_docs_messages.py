"""Every message that the documentation explains is in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(ROOT.glob("docs/integrations/*/*.md"))
#: stands for a placeholder in a text of the code
HOLE = "\N{HORIZONTAL ELLIPSIS}"


def code_of(page: Path) -> Path:
    """Return the folder of the package that a page documents."""
    connector = f"{page.parent.name.removesuffix('s')}-{page.stem}"
    return ROOT / connector / connector.replace("-", "_")


def quoted(page: Path) -> Iterator[str]:
    """Yield the quotes in the first column of a page's message tables; the whole cell if it has no quotes."""
    for section in re.findall(r"(?ms)^### Messages.*?(?=^#|\Z)", page.read_text()):
        for row in re.findall(r"(?m)^\| (.*?) \|", section)[1:]:
            yield from re.findall(r"`(.+?)`", row) or [row]


def texts(package: Path) -> list[str]:
    """Return all texts in a package's code and manifest, with a hole for each placeholder."""
    modules = {*package.rglob("*.py"), *(package / "base").glob("*.py")}  # rglob does not follow the link to the base
    found = [text for path in modules for text in strings(ast.parse(path.read_text()))]
    for path in package.glob("manifest.yaml"):
        scalars = (token.value for token in yaml.scan(path.read_text()) if isinstance(token, yaml.ScalarToken))
        found += [re.sub(r"(?s)\{\{.*?\}\}", HOLE, scalar) for scalar in scalars]
    return found


def strings(node: ast.AST) -> Iterator[str]:
    """Yield the strings in a piece of code, except docstrings."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield re.sub(r"%[sd]|\{\w*\}", HOLE, node.value)
    for child in ast.iter_child_nodes(node):
        docstring = isinstance(node, ast.Expr) and isinstance(child, ast.Constant)
        if not docstring and not (isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)):
            yield from strings(child)


def pattern(words: list[str]) -> str:
    """Return the pattern of these words; the code may have a hole for a word with a digit or an underscore."""
    return r"\s+".join(
        rf"(?:{re.escape(word)}|\S*{HOLE}\S*)" if re.search(r"[\d_]", word) else re.escape(word) for word in words
    )


def contains(found: list[str], words: list[str]) -> bool:
    """Return whether one text contains these words, or one does whose hole is filled by another text."""
    if any(map(re.compile(pattern(words)).search, found)):
        return True
    return any(
        any(map(re.compile(rf"{pattern(words[:cut])}\s+\W?{HOLE}").search, found))
        and any(map(re.compile(pattern(words[cut:])).match, found))
        for cut in range(1, len(words))
    )


def missing(found: list[str], message: str) -> list[str]:
    """Return the fixed parts of a message, between its `...`, that no text contains."""
    pieces = (piece.strip(" .)") for piece in message.split("..."))
    return [piece for piece in pieces if not contains(found, piece.split())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_every_message_that_a_page_explains_is_in_the_code(page):
    messages, found = list(quoted(page)), texts(code_of(page))
    assert messages
    assert {message: lost for message in messages if (lost := missing(found, message))} == {}


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        ("... list moved in 5 passes", []),
        ("... list moved in 5 passes over one window ...", []),
        ("... list moved in five passes ...", ["list moved in five passes"]),
        ("... list kept changing ...: run again", ["list kept changing"]),
        ("nothing but logs", ["nothing but logs"]),
    ],
)
def test_words_that_are_not_in_the_code_are_found(message, lost):
    found = [f"{HOLE}'s list moved in {HOLE} passes {HOLE}: run again", "over one window"]
    assert missing(found, message) == lost
