"""Airbyte's own standard tests, against the simulator; the scenarios are in acceptance-test-config.yml."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from airbyte_cdk.test.models import ConnectorTestScenario
from airbyte_cdk.test.standard_tests import SourceTestSuiteBase
from source_wicked_reports import SourceWickedReports

from .conftest import fill

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [
    pytest.mark.filterwarnings("error::airbyte_cdk.test.standard_tests.DiscoveredCatalogWarning"),
    # without the registry of connectors, the comparison with the last published spec has nothing to compare with
    pytest.mark.filterwarnings("ignore:.*registry.*:UserWarning"),
]


class TestStandards(SourceTestSuiteBase):
    """Spec, check, discover and read as every Airbyte source must answer them."""

    api_url: ClassVar[str] = ""

    @pytest.fixture(autouse=True)
    def simulator(self, sim):
        fill(sim)
        sim.outbound.pace(0)
        type(self).api_url = sim.url

    @classmethod
    def get_connector_root_dir(cls) -> Path:
        return ROOT

    @classmethod
    def create_connector(cls, scenario: ConnectorTestScenario | None) -> Any:
        config = scenario.get_config_dict(connector_root=ROOT, empty_if_missing=True) if scenario else {}
        return SourceWickedReports(config={**config, "api_url": cls.api_url} if config else None)
