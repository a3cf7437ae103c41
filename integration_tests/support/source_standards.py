"""Airbyte's standard tests for a source, run against the simulator; acceptance-test-config.yml has the scenarios."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from airbyte_cdk.test.models import ConnectorTestScenario
from airbyte_cdk.test.standard_tests import SourceTestSuiteBase

from integration_tests.simulator.client import SimulatorClient
from integration_tests.support.source_fixtures import Subject

#: Marks for the test modules.
MARKS = [
    pytest.mark.filterwarnings("error::airbyte_cdk.test.standard_tests.DiscoveredCatalogWarning"),
    # no published spec to compare with, because the connectors are in no registry
    pytest.mark.filterwarnings("ignore:.*registry.*:UserWarning"),
]


class SourceStandards(SourceTestSuiteBase):
    """Spec, check, discover and read as Airbyte requires of every source; a subclass defines the first three names."""

    subject: ClassVar[Subject]
    root: ClassVar[Path]
    #: Inserts rows of every stream.
    populate: ClassVar[Callable[[SimulatorClient], None]]
    api_url: ClassVar[str] = ""

    @pytest.fixture(autouse=True)
    def simulator(self, sim: SimulatorClient) -> None:
        """Populate the simulator and point the source at it."""
        type(self).populate(sim)
        type(self).api_url = sim.url

    @classmethod
    def get_connector_root_dir(cls) -> Path:
        """Return the connector's folder."""
        return cls.root

    @classmethod
    def create_connector(cls, scenario: ConnectorTestScenario | None) -> Any:
        """Build the source with the scenario's configuration, pointed at the simulator."""
        config = scenario.get_config_dict(connector_root=cls.root, empty_if_missing=True) if scenario else {}
        return cls.subject.source(config={**config, "api_url": cls.api_url} if config else None)
