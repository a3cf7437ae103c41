"""Validation of the configuration, and its JSON schema."""

import json
from importlib.resources import files

import pytest
from destination_wicked_reports.config.spec import Config, specification
from destination_wicked_reports.errors import ConfigurationError

LEFT_OUT = {"api_key": "k", "mapping": {"type": "wecantrack"}, "ledger": {"type": "sqlite"}}


def test_an_optional_key_that_is_null_counts_as_missing():
    nulls = {
        **LEFT_OUT,
        "api_url": None,
        "rejected_records_path": None,
        "batch_rows": None,
        "mapping": {"type": "wecantrack", "contact_rules": None, "recognize": None},
        "ledger": {"type": "sqlite", "path": None},
    }
    assert Config.parse(nulls) == Config.parse(LEFT_OUT)
    assert Config.parse({"api_key": "k", "mapping": None, "ledger": None}) == Config.parse({"api_key": "k"})


@pytest.mark.parametrize("key", ["__injected_declarative_manifest", "__injected_components_py", "__injected_x"])
def test_a_key_that_would_replace_parts_of_the_connector_is_refused_as_the_sources_do(key):
    with pytest.raises(ConfigurationError, match=f"^The configuration has the key {key}, which would replace parts"):
        Config.parse({"api_key": "k", key: {}})


def test_a_required_key_that_is_null_is_missing():
    with pytest.raises(ConfigurationError, match="api_key: is required"):
        Config.parse({"api_key": None})


@pytest.mark.parametrize(
    "url", ["https://api.example/v1/", "https://api.example:8443", "http://localhost:5000", "http://127.0.0.1"]
)
def test_the_api_may_be_at_any_https_address_or_on_this_machine(url):
    assert Config.parse({"api_key": "k", "api_url": url}).api_url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https:",
        "https://",
        "https://user:word@api.example",
        "https://api.example/?a=b",
        "https://api.example#x",
        "http://api.example",
        "http://localhost.api.example",
        "ftp://localhost",
        "http://localhost:99999",
        "https://[::1",
        "https://host:0",
        "api.example",
        "https://a b",
    ],
)
def test_an_address_to_which_the_key_may_not_go_is_refused(url):
    with pytest.raises(ConfigurationError, match="api_url: must be a plain https URL"):
        Config.parse({"api_key": "k", "api_url": url})


@pytest.mark.parametrize(
    ("wrong", "right"), [("tst_mode", "test_mode"), ("batchRows", "batch_rows"), ("Ledger", "ledger")]
)
def test_a_misspelled_key_is_refused(wrong, right):
    with pytest.raises(ConfigurationError, match=f"Unknown setting `{wrong}`. Did you mean `{right}`"):
        Config.parse({"api_key": "k", wrong: True})


def test_an_unknown_key_of_the_orchestrator_is_allowed():
    assert Config.parse({"api_key": "k", "__injected": 1, "load_schema": "x"}).api_key == "k"


@pytest.mark.parametrize("key", ["", " ", "k\u200b", "k y", "schl\u00fcssel", "k\x00"])
def test_an_api_key_that_no_header_can_carry_is_refused_without_quoting_it(key):
    with pytest.raises(ConfigurationError, match="api_key: ") as refused:
        Config.parse({"api_key": key})
    assert "\u200b" not in str(refused.value)
    assert "schl" not in str(refused.value)


def test_spaces_around_an_api_key_are_stripped():
    assert Config.parse({"api_key": " k\n"}).api_key == "k"


def test_a_null_anywhere_counts_as_missing():
    def parsed(**more):
        stream = {"stream": "s", "endpoint": "orders", "fields": {"SourceID": "id", **more.pop("fields", {})}, **more}
        return Config.parse({"api_key": "k", "mapping": {"type": "custom", "streams": [stream]}})

    assert parsed(filter=None, fields={"City": None}) == parsed()


def test_spec_json_is_the_one_that_the_models_generate():
    stored = files("destination_wicked_reports").joinpath("spec.json").read_text(encoding="utf-8")
    assert json.loads(stored) == specification(), "run `make spec`"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"mapping": {"type": "wecntrack"}}, "mapping.type: must be one of native, wecantrack, sovrn, bigcommerce, "
         "custom. Did you mean wecantrack?"),
        ({"mapping": {"typ": "native"}}, "mapping.type: is required: one of native, wecantrack"),
        ({"mapping": {"type": "wecantrack", "source_system": "My Shop"}},
         "mapping.source_system: must not be empty or contain spaces"),
        ({"ledger": {"type": "sqlite", "path": " "}}, "ledger.path: is blank"),
        ({"ledger": {"type": "sqlite", "path": "postgresql://u:p@h/d"}},
         "ledger.path: must be the path of a file, not a URL (a ledger in PostgreSQL has the type `postgres` and a "
         "url)"),
        ({"rejected_records_path": "s3://bucket/file"},
         "rejected_records_path: must be the path of a file, not a URL"),
        ({"ledger": {"type": "sqlite", "pth": "/x"}}, "ledger.pth: is not a setting. Did you mean path?"),
        ({"ledger": {"type": "postgres", "url": "postgresql://h/d", "schma": "x"}}, "ledger.schma: is not a setting. "
         "Did you mean schema?"),
        ({"mapping": {"type": "wecantrack", "recognize": "aproved"}}, "mapping.recognize: must be one of pending, "
         "approved. Did you mean approved?"),
        ({"mapping": {"type": "wecantrack", "contact_rules": [{"field": "a", "patern": "(?P<email>x)"}]}},
         "mapping.contact_rules[0].patern: is not a setting. Did you mean pattern?"),
        ({"mapping": {"type": "wecantrack", "contact_lookup": {"type": "fil", "path": "/x"}}},
         "mapping.contact_lookup.type: must be one of none, file, wicked. Did you mean file?"),
        ({"mapping": {"type": "custom", "streams": [{"stream": "a", "endpoint": "order", "fields": {"A": "b"}}]}},
         "mapping.streams[0].endpoint: must be one of products, contacts, orders, order_items, order_payments, clicks, "
         "marketing. Did you mean orders?"),
        ({"on_rejected_record": "skp"}, "on_rejected_record: must be one of fail_at_end, skip, fail_fast. Did you "
         "mean skip?"),
        ({"mapping": "wecantrack"}, "mapping: must be an object in braces"),
        ({"api_key": 5}, "api_key: must be a text in quotes"),
    ],
)  # fmt: skip
def test_a_wrong_name_or_choice_is_named_with_the_one_that_was_meant(settings, text):
    with pytest.raises(ConfigurationError) as raised:
        Config.parse({"api_key": "k", **settings})
    assert text in str(raised.value)


def test_a_wrong_value_is_not_quoted():
    with pytest.raises(ConfigurationError) as raised:
        Config.parse({"api_key": "k", "mapping": {"type": "my-secret"}, "on_rejected_record": "my-secret"})
    assert "my-secret" not in str(raised.value)
