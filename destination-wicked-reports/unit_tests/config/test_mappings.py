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


class TestContactLookup:
    def parse(self, **settings):
        return Config.parse({"api_key": "k", "mapping": {"type": "sovrn", **settings}}).mapping

    def test_there_is_none_by_default(self):
        mapping = self.parse()
        assert mapping.contact_lookup.type == "none"
        assert (mapping.contact_lookup_days, mapping.contact_lookup_wait_days) == (30, 3)

    def test_wicked_needs_the_source_system_of_the_contacts(self):
        with pytest.raises(ConfigurationError, match="`wicked` needs contact_source_system"):
            self.parse(contact_lookup={"type": "wicked"}, contact_source_system=" ")
        lookup = self.parse(contact_lookup={"type": "wicked"}, contact_source_system="crm").contact_lookup
        assert (lookup.keep, lookup.requests_per_minute) == ("address", 120)

    @pytest.mark.parametrize("path", ["contacts.csv", "./contacts.csv"])
    def test_a_relative_path_is_refused_with_the_absolute_one(self, path, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigurationError, match=f"write {tmp_path}/contacts.csv"):
            self.parse(contact_lookup={"type": "file", "path": path})

    @pytest.mark.parametrize(
        "lookup",
        [{}, {"type": "file"}, {"type": "file", "path": ""}, {"type": "crm"}, {"type": "none", "keep": "hash"}],
    )
    def test_an_incomplete_lookup_is_refused(self, lookup):
        with pytest.raises(ConfigurationError):
            self.parse(contact_lookup=lookup)
