"""The models of the mappings: frozen, and strict about their rules."""

from __future__ import annotations

import pytest
from destination_wicked_reports.config.mappings import (
    BigcommerceMapping,
    ContactRule,
    CustomStream,
    NativeMapping,
    SovrnMapping,
    SubscriptionRule,
    WecantrackMapping,
)
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ConfigurationError
from pydantic import ValidationError

MODELS = [
    NativeMapping(),
    WecantrackMapping(),
    SovrnMapping(),
    BigcommerceMapping(),
    ContactRule(field="reference", pattern="(?P<email>.+)"),
    SubscriptionRule(field="external_id", pattern="(?P<subscription_id>.+)"),
    CustomStream(stream="s", endpoint="orders", fields={"SourceID": "id"}),
    Config(api_key="k"),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_model_is_frozen(model):
    name = next(iter(type(model).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(model, name, getattr(model, name))


@pytest.mark.parametrize(
    ("field", "pattern", "message"),
    [
        ("*", "(?P<email>.+)", "contact_rules[0].field: must start with a field name"),
        ("a..b", "(?P<email>.+)", "contact_rules[0].field: must start with a field name"),
        ("a", "(", "contact_rules[0].pattern: is not a regular expression"),
        ("a", ".+", "contact_rules[0].pattern: needs a named group (?P<contact_id>…) or (?P<email>…)"),
    ],
)
def test_a_wrong_contact_rule_is_a_configuration_error_that_names_its_location(field, pattern, message):
    mapping = {"type": "wecantrack", "contact_rules": [{"field": field, "pattern": pattern}]}
    with pytest.raises(ConfigurationError) as error:
        Config.parse({"api_key": "k", "mapping": mapping})
    assert message in str(error.value)
