"""`sync.yaml`: places of faults, secrets from the environment, paths, several sources."""

import pytest
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.sync.settings import read_settings

MINIMAL = """\
source:
  program: source-wecantrack
  config:
    api_key: ${WCT_KEY}
    start_date: 2026-01-01
destination:
  api_key: ${WICKED_KEY}
  mapping: {type: wecantrack}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setenv("WCT_KEY", "secret-wct")
    monkeypatch.setenv("WICKED_KEY", "secret-wicked")

    def write(text):
        path = tmp_path / "sync.yaml"
        path.write_text(text)
        return path

    return write


def fault(path):
    with pytest.raises(ConfigurationError) as error:
        read_settings(path)
    return str(error.value).replace(str(path.parent) + "/", "")


def test_variables_are_replaced_and_dates_stay_text(write):
    (sync,) = read_settings(write(MINIMAL)).syncs
    assert sync.name == "wecantrack"
    assert sync.source.config == {"api_key": "secret-wct", "start_date": "2026-01-01"}
    assert sync.config.api_key == "secret-wicked"


def test_every_missing_variable_is_named_with_its_line(write, monkeypatch):
    monkeypatch.delenv("WCT_KEY")
    monkeypatch.setenv("WICKED_KEY", "")
    assert fault(write(MINIMAL)).splitlines() == [
        "sync.yaml, line 4: the environment variable WCT_KEY is not set: export it first.",
        "sync.yaml, line 7: the environment variable WICKED_KEY is not set: export it first.",
    ]


def test_a_dollar_and_a_brace_can_be_written_and_a_bad_name_is_refused(write):
    text = MINIMAL.replace("start_date: 2026-01-01", "start_date: 2026-01-01\n    note: $${X} costs $5")
    (sync,) = read_settings(write(text)).syncs
    assert sync.source.config["note"] == "${X} costs $5"
    assert "must name an environment variable" in fault(write(MINIMAL.replace("${WCT_KEY}", "${WCT-KEY}")))


def test_relative_paths_start_at_the_file_and_are_handed_on_absolute(write, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    text = MINIMAL.replace("source-wecantrack", "bin/my-source") + (
        "  ledger: {type: sqlite, path: data/ledger.sqlite}\n  rejected_records_path: rejected.jsonl\n"
        "state: data/state.json\nlogs: data/logs\n"
    )
    settings = read_settings(write(text))
    (sync,) = settings.syncs
    assert sync.source.program == str(tmp_path / "bin/my-source")
    assert sync.destination["ledger"]["path"] == str(tmp_path / "data/ledger.sqlite")
    assert sync.destination["rejected_records_path"] == str(tmp_path / "rejected.jsonl")
    assert (settings.state, settings.logs) == (tmp_path / "data/state.json", tmp_path / "data/logs")


def test_the_file_of_a_contact_lookup_starts_at_the_file_too(write, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    mapping = "  mapping: {type: wecantrack, contact_lookup: {type: file, path: contacts.csv}}\n"
    text = "\n".join(line for line in MINIMAL.splitlines() if "mapping" not in line) + "\n" + mapping
    (sync,) = read_settings(write(text)).syncs
    assert sync.destination["mapping"]["contact_lookup"]["path"] == str(tmp_path / "contacts.csv")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("source:", "sorce:"), "line 1: unknown setting `sorce`. Did you mean `source`?"),
        (("  program:", "  progam:"), "line 2: unknown setting `progam`. Did you mean `program`?"),
        (("  program: source-wecantrack\n", ""), "needs either `program`, such as source-wecantrack, or `image`"),
        (("destination:", "destination: ["), "line 7, column"),
        (("    api_key: ${WCT_KEY}", "\tapi_key: x"), "line 4, column 1: not valid YAML"),
        (("    start_date", "    api_key: x\n    start_date"), "line 5: `api_key` is there twice: remove one."),
        (("type: wecantrack", "type: wecantrak"), "mapping"),
    ],
)
def test_a_fault_is_named_with_its_place(write, change, said):
    message = fault(write(MINIMAL.replace(*change)))
    assert message.startswith("sync.yaml")
    assert said in message
    assert "secret-" not in message


def test_an_empty_and_a_missing_file_say_what_to_do(write, tmp_path):
    assert "has no settings" in fault(write("# nothing\n"))
    assert "wicked-reports-sync init" in fault(tmp_path / "other.yaml")


TWO = """\
sources:
  - name: first
    program: source-wecantrack
    config: {api_key: a}
    mapping: {type: wecantrack, source_system: one}
  - name: second
    program: source-wecantrack
    config: {api_key: b}
    mapping: {type: wecantrack, source_system: two}
destination:
  api_key: ${WICKED_KEY}
"""


def test_several_sources_write_under_names_of_their_own(write):
    settings = read_settings(write(TWO))
    assert [sync.config.mapping.source_system for sync in settings.syncs] == ["one", "two"]
    assert [sync.name for sync in settings.choose("second")] == ["second"]
    with pytest.raises(ConfigurationError, match="no source named third"):
        settings.choose("third")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("two", "one"), "both write as the source_system one"),
        (("name: second", "name: first"), "two sources are named first"),
        (("destination:", "side_by_side: true\ndestination:"), "side_by_side needs the ledger `postgres`"),
    ],
)
def test_sources_that_would_be_mixed_are_refused(write, change, said):
    assert said in fault(write(TWO.replace(*change)))
