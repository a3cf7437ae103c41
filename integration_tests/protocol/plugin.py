"""Pytest plugin for every test: captured output holds no secret and no person, and the output of connector processes
is checked against Airbyte's protocol.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration_tests.protocol import recorder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Fail a passing test whose captured output leaks."""
    report = yield
    if report.passed:
        leaks = [f"{title}: {leak}" for title, content in report.sections for leak in recorder.leaks(content)]
        if leaks:
            report.outcome = "failed"
            report.longrepr = "\n".join(leaks)
    return report


def pytest_configure(config: pytest.Config) -> None:
    """Record every connector process from now on."""
    config.addinivalue_line(
        "markers", "unjudged_output(reason): a connector of this test is made to break the protocol"
    )
    recorder.install()


def pytest_unconfigure() -> None:
    """Leave `subprocess` as it was."""
    recorder.remove()


@pytest.fixture(autouse=True)
def _judged_output(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test whose connectors printed what a platform could not rely on; see validator.py."""
    yield
    if request.node.get_closest_marker("unjudged_output"):
        recorder.forget()
    else:
        assert recorder.take() == []
