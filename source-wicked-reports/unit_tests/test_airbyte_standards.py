"""Airbyte's standard tests, run against the simulator; acceptance-test-config.yml has the scenarios."""

from pathlib import Path

from integration_tests.support.source_standards import MARKS, SourceStandards

from .conftest import SUBJECT, fill

pytestmark = MARKS


class TestStandards(SourceStandards):
    """Spec, check, discover and read as Airbyte requires of every source."""

    subject = SUBJECT
    root = Path(__file__).resolve().parents[1]

    @staticmethod
    def populate(sim):
        fill(sim)
        sim.outbound.pace(0)
