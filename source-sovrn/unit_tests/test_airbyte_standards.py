"""Airbyte's standard tests, run against the simulator; acceptance-test-config.yml has the scenarios."""

from pathlib import Path

from integration_tests.support.source_standards import MARKS, SourceStandards

from .conftest import SUBJECT

pytestmark = MARKS


class TestStandards(SourceStandards):
    """Spec, check, discover and read as Airbyte requires of every source."""

    subject = SUBJECT
    root = Path(__file__).resolve().parents[1]

    @staticmethod
    def populate(sim):
        sim.sovrn.generate(transactions=300, days=40, later_days=0)
        sim.sovrn.pace(0)
