"""Every citation names a section that exists, and every relative link in Markdown leads somewhere.

A citation is a path, a space and a section label or title: `docs/vendors/wicked-reports.md 2.5`,
`docs/guides/affiliate-revenue.md CPC rollups`. Several labels of one page may follow the path: `2.2 to 2.8`,
`A5, A7 and A9`.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HIDDEN_FOLDERS = {".ci", ".github"}
IGNORED_FOLDERS = {"__pycache__", "build", "cassettes", "dist", "output", "secrets", "trial", "wheels"}
SUFFIXES = {".ini", ".j2", ".json", ".md", ".py", ".sh", ".toml", ".yaml", ".yml", ""}

PATH = re.compile(r"docs/(?:(?:guides|vendors)/[a-z-]+|airbyte-cdk)\.md")
LABEL = r"(?:[A-H]\d*|\d+(?:\.\d+)?)(?![\w.]*\w)"
LABELS = re.compile(rf"`? `?({LABEL}(?:(?:, | and | to ){LABEL})*)")
HEADING = re.compile(rf"(?m)^#{{2,6}} (?:({LABEL})\.? )?(.+)$")
#: a line break inside a docstring, a comment or a table cell
BREAK = re.compile(r"\s*\n[ \t]*(?:#:|#|\|)?[ \t]*")
FENCE = re.compile(r"(?ms)^```.*?^```")
LINK = re.compile(r"\]\((?!\w+:)([^)\s#]*)(?:#([^)\s]*))?\)")

#: notes that are not part of the repository
FOREIGN = {
    "facts files": r"(?:wicked|affiliate)-facts",
    "vendors' documents": r"\bapis/",
    "cdk.md": r"(?<![-\w])cdk\.md",
    "DESIGN.md": r"\bDESIGN(?:\.md\b| section| \d)",
    "conventions.md": r"\bconventions(?:\.md\b| \d\.\d)",
    "clients.md": r"\bclients\.md\b",
    "house.md": r"\bhouse\.md\b",
}


def text_files() -> Iterator[Path]:
    """Yield the repository's own text files; links such as `base` are not followed."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if (name in HIDDEN_FOLDERS or not name.startswith("."))
            and name not in IGNORED_FOLDERS
            and not name.endswith(".egg-info")
        ]
        for name in names:
            path = Path(folder, name)
            if path.suffix in SUFFIXES and not name.startswith(".") and path != Path(__file__).resolve():
                yield path


@cache
def contents() -> dict[str, str]:
    """Return the text of each file by its path from the root."""
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in sorted(text_files())}


def sections(page: str) -> tuple[set[str], list[str]]:
    """Return the labels and the titles of a page's headings."""
    found = HEADING.findall(FENCE.sub("", contents()[page]))
    return {label for label, _ in found if label}, [title for _, title in found]


def broken_citations(text: str, *, needs_section: bool) -> Iterator[str]:
    """Yield each citation in a text whose page or section does not exist.

    With `needs_section`, as in Python code, a page without a section is broken, too.
    """
    text = BREAK.sub(" ", text)
    for match in PATH.finditer(text):
        page, rest = match[0], text[match.end() :]
        if page not in contents():
            yield f"{page}: no such page"
            continue
        labels, titles = sections(page)
        if named := LABELS.match(rest):
            yield from (f"{page} {label}" for label in re.findall(LABEL, named[1]) if label not in labels)
        elif needs_section and not any(rest.lstrip("` ").startswith(title) for title in titles):
            yield f"{page}: no section after it ({rest[:30]!r})"


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a Markdown text."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"(?m)^#{1,6} (.+?)\s*$", FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def broken_links(page: str, text: str) -> Iterator[str]:
    """Yield each relative link of a Markdown page that leads to no file or to no heading."""
    for target, anchor in LINK.findall(FENCE.sub("", text)):
        path = (ROOT / page).parent / target if target else ROOT / page
        if not path.exists():
            yield target
        elif anchor and path.suffix == ".md" and anchor not in anchors(path.read_text(encoding="utf-8")):
            yield f"{target}#{anchor}"


def test_every_citation_names_a_section_that_exists():
    broken = {
        name: found
        for name, text in contents().items()
        if (found := list(broken_citations(text, needs_section=name.endswith(".py"))))
    }
    assert not broken, "\n".join(f"{name}: {each}" for name, found in broken.items() for each in found)


@pytest.mark.parametrize("notes", FOREIGN)
def test_nothing_cites_notes_outside_the_repository(notes):
    lines = [
        f"{name}:{number}: {line.strip()}"
        for name, text in contents().items()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(FOREIGN[notes], line)
    ]
    assert not lines, "\n".join(lines)


def test_every_relative_link_leads_to_a_file_and_a_heading():
    broken = {
        name: found
        for name, text in contents().items()
        if name.endswith(".md") and (found := list(broken_links(name, text)))
    }
    assert not broken, "\n".join(f"{name}: {each}" for name, found in broken.items() for each in found)


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("(`docs/vendors/wicked-reports.md 2.5`)", []),
        ("docs/vendors/wicked-reports.md 2.5.", []),
        ("`docs/vendors/wicked-reports.md` 2.2 to 2.8, 3.3", []),
        ("docs/vendors/wicked-reports.md\n    #: 2.99", ["docs/vendors/wicked-reports.md 2.99"]),
        ("docs/vendors/wecantrack.md A2, A55 and A7", ["docs/vendors/wecantrack.md A55"]),
        ("docs/vendors/wicked-reports.md Gross and net revenue", []),
        (
            "docs/vendors/sovrn.md section B2",
            ["docs/vendors/sovrn.md: no section after it (' section B2')"],
        ),
        ("docs/vendors/missing.md A1", ["docs/vendors/missing.md: no such page"]),
        ("docs/guides/affiliate-revenue.md What is sent, by event.", []),
        (
            "docs/guides/affiliate-revenue.md D5",
            ["docs/guides/affiliate-revenue.md D5"],
        ),
        (
            "docs/guides/affiliate-revenue.md explains them",
            ["docs/guides/affiliate-revenue.md: no section after it (' explains them')"],
        ),
    ],
)
def test_a_broken_citation_is_noticed(text, broken):
    assert list(broken_citations(text, needs_section=True)) == broken
