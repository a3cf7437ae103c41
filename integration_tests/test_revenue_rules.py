"""Every rule of revenue in docs/decisions/0014 names the tests that prove it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DECISION = ROOT / "docs/decisions/0014-revenue-right-under-both-readings.md"
FOLDERS = (ROOT / "destination-wicked-reports/unit_tests", ROOT / "integration_tests")


def test_every_rule_names_tests_that_exist():
    rules = [line for line in DECISION.read_text().splitlines() if re.match(r"\| (?!Rule|:)", line)]
    assert len(rules) > 40
    named = [pair for rule in rules for pair in re.findall(r"`((?:\w+/)?test_\w+)` `(\w+)`", rule)]
    assert len(named) >= len(rules)
    for file, test in named:
        paths = [path for folder in FOLDERS for path in folder.rglob("*.py") if str(path).endswith(f"/{file}.py")]
        assert any(re.search(rf"^ *(def|class) {test}\b", path.read_text(), re.MULTILINE) for path in paths), test
