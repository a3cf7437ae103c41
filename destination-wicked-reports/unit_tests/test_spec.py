"""What a configuration may leave out."""

import pytest
from destination_wicked_reports.spec import Config, ConfigurationError

LEFT_OUT = {"api_key": "k", "mapping": {"type": "wecantrack"}, "ledger": {"type": "sqlite"}}


def test_an_optional_key_that_is_null_counts_as_left_out():
    nulls = {
        **LEFT_OUT,
        "api_url": None,
        "rejected_records_path": None,
        "batch_rows": None,
        "mapping": {"type": "wecantrack", "contact_rules": None, "recognise": None},
        "ledger": {"type": "sqlite", "path": None},
    }
    assert Config.parse(nulls) == Config.parse(LEFT_OUT)
    assert Config.parse({"api_key": "k", "mapping": None, "ledger": None}) == Config.parse({"api_key": "k"})


def test_a_required_key_that_is_null_is_missing():
    with pytest.raises(ConfigurationError, match="api_key: Field required"):
        Config.parse({"api_key": None})
