"""The messages that the documentation explains are the ones that the code says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(ROOT.glob("docs/integrations/*/*.md"))
#: stands in a text of the code for what a run fills in
HOLE = "\N{HORIZONTAL ELLIPSIS}"


def code_of(page: Path) -> Path:
    """Return the folder of the package that a page is about."""
    connector = f"{page.parent.name.removesuffix('s')}-{page.stem}"
    return ROOT / connector / connector.replace("-", "_")


def quoted(page: Path) -> Iterator[str]:
    """Yield what the first column of a page's tables of messages quotes; of a row that quotes nothing, all of it."""
    for section in re.findall(r"(?ms)^### Messages.*?(?=^#|\Z)", page.read_text()):
        for row in re.findall(r"(?m)^\| (.*?) \|", section)[1:]:
            yield from re.findall(r"`(.+?)`", row) or [row]


def texts(package: Path) -> list[str]:
    """Return every text of a package's code and manifest, with a hole for each part that is filled in."""
    modules = {*package.rglob("*.py"), *(package / "base").glob("*.py")}  # rglob does not follow the link to the base
    found = [text for path in modules for text in spoken(ast.parse(path.read_text()))]
    for path in package.glob("manifest.yaml"):
        scalars = (token.value for token in yaml.scan(path.read_text()) if isinstance(token, yaml.ScalarToken))
        found += [re.sub(r"(?s)\{\{.*?\}\}", HOLE, scalar) for scalar in scalars]
    return found


def spoken(node: ast.AST) -> Iterator[str]:
    """Yield the texts of some code, but not what it says about itself."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield re.sub(r"%[sd]|\{\w*\}", HOLE, node.value)
    for child in ast.iter_child_nodes(node):
        docstring = isinstance(node, ast.Expr) and isinstance(child, ast.Constant)
        if not docstring and not (isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)):
            yield from spoken(child)


def pattern(words: list[str]) -> str:
    """Return what finds these words; for one with a digit or an underscore the code may have a hole instead."""
    return r"\s+".join(
        rf"(?:{re.escape(word)}|\S*{HOLE}\S*)" if re.search(r"[\d_]", word) else re.escape(word) for word in words
    )


def says(said: list[str], words: list[str]) -> bool:
    """Tell whether one text holds these words, or one does whose hole another text fills."""
    if any(map(re.compile(pattern(words)).search, said)):
        return True
    return any(
        any(map(re.compile(rf"{pattern(words[:cut])}\s+\W?{HOLE}").search, said))
        and any(map(re.compile(pattern(words[cut:])).match, said))
        for cut in range(1, len(words))
    )


def missing(said: list[str], message: str) -> list[str]:
    """Return the fixed words of a message, those between its `...`, that no text says."""
    pieces = (piece.strip(" .)") for piece in message.split("..."))
    return [piece for piece in pieces if not says(said, piece.split())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_every_message_that_a_page_explains_is_one_that_the_code_says(page):
    messages, said = list(quoted(page)), texts(code_of(page))
    assert messages
    assert {message: lost for message in messages if (lost := missing(said, message))} == {}


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
def test_words_that_the_code_does_not_say_are_noticed(message, lost):
    said = [f"{HOLE}'s list moved in {HOLE} passes {HOLE}: run again", "over one window"]
    assert missing(said, message) == lost
