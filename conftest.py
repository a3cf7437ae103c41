"""For every test: the CDK's standard suite knows its options, and nothing that is logged holds a secret or a person."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

pytest_plugins = ["airbyte_cdk.test.standard_tests.pytest_hooks"]

#: Records and states are the product; everything else that a run prints is read by people and log collectors.
PRODUCT = re.compile(r'^\s*\{"type": ?"(RECORD|STATE)"')
LEAK = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z]{2,}|sim-(wecantrack|wicked|sovrn)-key|secret-key")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Fail a passing test whose captured output leaks."""
    report = yield
    if report.passed:
        leaks = [
            f"{title}: {line[:300]}"
            for title, content in report.sections
            for line in content.splitlines()
            if LEAK.search(line) and not PRODUCT.match(line)
        ]
        if leaks:
            report.outcome = "failed"
            report.longrepr = "A secret or an e-mail address was printed.\n" + "\n".join(leaks)
    return report
