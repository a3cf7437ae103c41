"""Pytest plugin of all tests.

It fails a test that prints a secret or an e-mail address, or whose connector processes break Airbyte's protocol, and
skips the CDK's image tests, which build nothing here.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator

import pytest

from integration_tests.protocol import recorder
from integration_tests.support.layers import engine_missing


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
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
    config.addinivalue_line("markers", "unjudged_output(reason): this test makes a connector break the protocol")
    recorder.install()


def pytest_unconfigure() -> None:
    """Restore `subprocess`."""
    recorder.remove()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the CDK's image tests, which build an image themselves, unless they are given one.

    `integration_tests/test_images.py` runs them with `--connector-image`.
    """
    if item.name.startswith("test_docker_image_"):
        if not item.config.getoption("--connector-image"):
            pytest.skip("needs an image: `make image-test` builds the images and runs this test on them")
        if why := engine_missing():
            pytest.fail(why)


@pytest.fixture(autouse=True)
def _checked_output(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test whose connectors' output breaks the protocol; see validator.py."""
    # A command that ran in this process logs to its test's stderr, which is closed by now.
    root = logging.getLogger()
    root.handlers[:] = [one for one in root.handlers if not getattr(getattr(one, "stream", None), "closed", False)]
    yield
    if request.node.get_closest_marker("unjudged_output"):
        recorder.forget()
    else:
        assert recorder.take() == []
