"""What the manifests of all sources must satisfy."""

import inspect
import re
from pathlib import Path

import pytest
import yaml
from source_sovrn.components import MAX_WAIT_SECONDS
from source_wecantrack.base.http import CONNECT_TIMEOUT
from source_wicked_reports.config import ACCOUNT_TIME_ZONE

from integration_tests.support.source_fixtures import LOGGER

from .conftest import SUBJECTS

CONFIG = {"api_key": "key", "secret_key": "key", "start_date": "2026-01-01"}

pytestmark = pytest.mark.parametrize("subject_", SUBJECTS, ids=lambda subject: subject.source.__name__)


def properties(subject_):
    return subject_.source().spec(LOGGER).connectionSpecification["properties"]


def test_every_option_has_a_title_in_title_case_and_a_description(subject_):
    for name, option in properties(subject_).items():
        assert all(word[0].isupper() or word == "per" for word in option["title"].split()), name
        assert len(option["description"]) > 30, name


def test_every_stream_has_one_key_column_at_most_and_describes_every_field(subject_):
    for stream in subject_.source(config=CONFIG).discover(LOGGER, CONFIG).streams:
        keys = stream.source_defined_primary_key or []
        assert len(keys) <= 1
        assert all(key[0] in stream.json_schema["properties"] for key in keys)
        assert stream.json_schema["additionalProperties"] is True
        assert all(field["description"] for field in stream.json_schema["properties"].values())


def test_an_omitted_option_gets_the_default_of_the_spec_and_a_given_one_keeps_its_value(subject_):
    defaults = {name: option["default"] for name, option in properties(subject_).items() if "default" in option}
    config = subject_.source(config={**CONFIG, "max_tries": 3})._config
    assert "max_tries" in defaults
    assert {name: config[name] for name in defaults} == {**defaults, "max_tries": 3}


def test_defaults_are_written_only_in_the_spec(subject_):
    package = Path(inspect.getfile(subject_.source)).parent
    defaults = {name for name, option in properties(subject_).items() if "default" in option}
    for path in (*package.glob("*.py"), package / "manifest.yaml"):
        for name in re.findall(r"config\.get\(['\"](\w+)['\"],", path.read_text()):
            assert name not in defaults, f"{path.name} repeats the default of {name}"


def test_the_url_and_the_time_zone_that_replace_an_empty_option_are_the_defaults_of_the_spec(subject_):
    options = properties(subject_)
    manifest = Path(inspect.getfile(subject_.source)).with_name("manifest.yaml").read_text()
    for url in re.findall(r"config\.get\('api_url'\) or '(.+?)'", manifest):
        assert url == options["api_url"]["default"]
    if "account_time_zone" in options:
        assert options["account_time_zone"]["default"] == ACCOUNT_TIME_ZONE


def metadata(subject_):
    return yaml.safe_load((Path(inspect.getfile(subject_.source)).parents[1] / "metadata.yaml").read_text())["data"]


def test_the_runtime_allows_the_longest_silence_of_one_request(subject_):
    tries, wait = subject_.default("max_tries"), MAX_WAIT_SECONDS
    if "longest_wait_seconds" in properties(subject_):
        wait = subject_.default("longest_wait_seconds")
    silence = tries * (CONNECT_TIMEOUT + subject_.default("read_timeout_seconds")) + (tries - 1) * wait
    assert silence < metadata(subject_)["maxSecondsBetweenMessages"]


def test_the_hosts_of_the_manifest_are_allowed(subject_):
    manifest = Path(inspect.getfile(subject_.source)).with_name("manifest.yaml").read_text()
    hosts = set(re.findall(r"https://([\w.-]+)", manifest)) - {"docs.airbyte.com", "json-schema.org"}
    assert hosts == set(metadata(subject_)["allowedHosts"]["hosts"])
