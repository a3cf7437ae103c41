"""The command line and the files of the sources: help, encodings, pipes, wrong settings, and what a terminal shows."""

import importlib.metadata
import json
import shutil
import subprocess

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from source_wecantrack.base.entrypoint import _Entrypoint

from .conftest import SUBJECT, SUBJECTS, fill
from .test_entrypoint import messages, spec
from .test_http import Server
from .test_terminal_log import run_on_terminal


@pytest.fixture
def server():
    opened = Server()
    yield opened
    opened.close()


@pytest.mark.unjudged_output("help is no message")
@pytest.mark.parametrize("subject_", SUBJECTS, ids=lambda subject: subject.source.__name__)
def test_version_and_help_are_complete_and_need_no_configuration(subject_):
    name = subject_.source.__module__.split(".")[0].replace("_", "-")
    version = subprocess.run([*subject_.script(), "--version"], capture_output=True, text=True)
    assert (version.returncode, version.stderr) == (0, "")
    assert version.stdout == f"{name} {importlib.metadata.version(f'airbyte-{name}')}\n"
    shown = subprocess.run([*subject_.script(), "--help"], capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "")
    for word in ("spec", "check", "discover", "read", "--version", "exit codes:"):
        assert word in shown.stdout
    options = subprocess.run([*subject_.script(), "read", "--help"], capture_output=True, text=True).stdout
    for word in ("--config", "--catalog", "--state", "--log-format"):
        assert word in options
    for word in ("manifest", "components", "--debug"):
        assert word not in options


@pytest.mark.parametrize("subject_", SUBJECTS, ids=lambda subject: subject.source.__name__)
@pytest.mark.parametrize(
    "arguments", [[], ["help"], ["write"], ["check"], ["read", "--config", "x"], ["spec", "--nonsense"], ["--debug"]]
)
def test_no_command_or_a_wrong_one_gives_usage_and_exit_code_2(arguments, subject_):
    done = subprocess.run([*subject_.script(), *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: source-")
    assert "Traceback" not in done.stderr


def test_airbytes_other_options_are_accepted(sim, config, tmp_path):
    options = ("--debug", "--manifest-path", "/none", "--components-path", "/none")
    code, out, err = SUBJECT.run_process("check", config, tmp_path, options=options)
    assert (code, err, messages(out, "CONNECTION_STATUS")[0]["connectionStatus"]["status"]) == (0, "", "SUCCEEDED")


@pytest.mark.parametrize("command", ["check", "discover", "read"])
def test_a_config_from_a_pipe_works_in_every_command(command, sim, config, tmp_path):
    fill(sim)
    line = SUBJECT.command_line(command, config, tmp_path)
    line[line.index("--config") + 1] = "/dev/stdin"
    done = subprocess.run(line, input=json.dumps(config).encode(), capture_output=True, timeout=60)
    kind = {"check": "CONNECTION_STATUS", "discover": "CATALOG", "read": "STATE"}[command]
    assert (done.returncode, done.stderr) == (0, b"")
    assert messages(done.stdout, kind)


@pytest.fixture
def latin_1(tmp_path, monkeypatch):
    if shutil.which("localedef") is None:
        pytest.skip("localedef is missing")
    command = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(tmp_path / "de_DE.ISO-8859-1")]
    if subprocess.run(command, capture_output=True).returncode > 1:
        pytest.skip("the sources of the locale are missing")
    monkeypatch.setenv("LOCPATH", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "de_DE.ISO-8859-1")
    monkeypatch.setenv("PYTHONUTF8", "0")


@pytest.mark.parametrize(("subject_", "encoding"), list(zip(SUBJECTS, ["utf-8", "utf-8-sig", "utf-8"], strict=True)))
def test_files_are_utf_8_whatever_the_locale(subject_, encoding, latin_1, tmp_path):
    config = {"api_key": "key", "secret_key": "key", "start_date": "2026-01-01", "api_url": "http://127.0.0.1:1"}
    line = subject_.command_line("read", {**config, "max_tries": 1}, tmp_path)
    stored = [{"type": "STREAM", "stream": {"stream_descriptor": {"name": "Größe"}, "stream_state": {}}}]
    (tmp_path / "state.json").write_text(json.dumps(stored, ensure_ascii=False), encoding=encoding)
    (tmp_path / "catalog.json").write_text(
        json.dumps(subject_.catalog(subject_.stream)).replace(subject_.stream, "Größe"), encoding=encoding
    )
    done = subprocess.run([*line, "--state", str(tmp_path / "state.json")], capture_output=True)
    assert (done.returncode, done.stderr) == (1, b"")
    error = messages(done.stdout, "TRACE")[-1]["trace"]["error"]
    assert error["message"].startswith("The catalog selects Größe, which this source does not have.")


def test_a_tag_outside_ascii_is_sent_as_it_is_whatever_the_locale(latin_1, sim, config, tmp_path):
    line = SUBJECT.command_line("read", config, tmp_path)
    text = json.dumps({**config, "network_account_tags": ["Größe"]}, ensure_ascii=False)
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    assert subprocess.run(line, capture_output=True).returncode == 0
    assert any("Größe" in str(request) for request in sim.requests("/api/v3/transactions"))


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"__injected_declarative_manifest": {}}', None])
def test_a_config_that_cannot_be_used_fails_the_check_with_a_status(content, config, tmp_path):
    line = SUBJECT.command_line("check", config, tmp_path)
    path = tmp_path / "config.json"
    path.unlink() if content is None else path.write_text(content)
    done = subprocess.run(line, capture_output=True, text=True)
    (status,) = messages(done.stdout, "CONNECTION_STATUS")
    assert (done.returncode, done.stderr, status["connectionStatus"]["status"]) == (0, "", "FAILED")
    assert "onfig" in status["connectionStatus"]["message"]


@pytest.mark.parametrize(("subject_", "command"), list(zip(SUBJECTS, ["check", "discover", "read"], strict=True)))
def test_keys_that_would_replace_the_connector_are_refused(command, subject_, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRBYTE_ENABLE_UNSAFE_CODE", "true")
    code_ = f"open({str(tmp_path / 'ran')!r}, 'w')"
    config = {"api_key": "key", "secret_key": "key", "start_date": "2026-01-01"}
    config |= {"__injected_components_py": code_, "__injected_components_py_checksums": {}}
    _, out, err = subject_.run_process(command, config, tmp_path)
    assert err == ""
    assert "The configuration has the key __injected_components_py, which would replace parts of this connector" in out
    assert not (tmp_path / "ran").exists()


def problem(config):
    with pytest.raises(AirbyteTracedException) as refused:
        _Entrypoint.validate_connection(spec(), config)
    return refused.value.message


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            {"statuses": ["aproved"]},
            "statuses[0] must be one of ['pending', 'approved', 'declined']. Did you mean approv",
        ),
        ({"date_type": "last_wct_updated"}, "Did you mean last_wct_update?"),
        ({"date_type": "s3cret"}, "date_type must be one of ["),
        ({"clicks_group_by": ["network"]}, "clicks_group_by[0] must be one of ["),
        ({"lookback_hours": "24"}, "lookback_hours must be a whole number."),
        ({"network_account_id": 1.5}, "network_account_id must be a whole number."),
        ({"lookback_hours": -1}, "lookback_hours must be at least 0."),
        ({"statuses": "approved"}, "statuses must be a list."),
        ({"statuses": ["approved", "approved"]}, "statuses must be a list without duplicates."),
        ({"read_timeout_seconds": 0}, "read_timeout_seconds must be more than 0."),
        ({"Api Key": "x"}, "Unknown setting Api Key. Did you mean api_key?"),
        ({"lookbackHours": 24}, "Unknown setting lookbackHours. Did you mean lookback_hours?"),
    ],
)
def test_a_wrong_value_or_name_is_explained_without_quoting_the_value(setting, message, config):
    assert message in problem({**config, **setting})
    assert "s3cret" not in problem({**config, **setting})


def test_settings_inside_another_object_are_found(config):
    message = "the settings are inside connectionConfiguration. Put them at the top level."
    assert message in problem({"connectionConfiguration": config})


def test_on_a_terminal_people_read_what_happens(sim, config, tmp_path):
    fill(sim)
    line = SUBJECT.command_line("read", config, tmp_path)
    done, shown = run_on_terminal(line, stdout=subprocess.PIPE)
    assert "source-wecantrack INFO Reading stream transactions\r\n" in shown
    assert "INFO Read 15 records of stream transactions" in shown
    assert '{"type"' not in shown
    assert {message["type"] for message in map(json.loads, done.splitlines())} >= {"LOG", "RECORD", "STATE", "TRACE"}


def test_on_a_terminal_an_error_and_the_result_of_check_are_shown(sim, config, tmp_path):
    for command in ("check", "read"):
        line = SUBJECT.command_line(command, {**config, "api_key": "wrong-key"}, tmp_path)
        _, shown = run_on_terminal(line, stdout=subprocess.PIPE)
        assert shown.count("source-wecantrack ERROR wecantrack does not accept the API key.") == 1
        assert "wrong-key" not in shown
    assert run_on_terminal([*line, "--log-format", "json"], stdout=subprocess.PIPE)[1] == ""


@pytest.mark.parametrize("subject_", SUBJECTS, ids=lambda subject: subject.source.__name__)
def test_a_process_sends_its_key_and_nothing_from_netrc_or_to_a_proxy(subject_, server, tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("default login somebody password my-secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    for name, value in {
        "HOME": str(tmp_path),
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    config = {"api_key": "right-key", "secret_key": "right-key", "start_date": "2026-01-01", "api_url": server.url}
    config |= {"end_date": "2026-01-01", "max_tries": 1, "request_interval_seconds": 0}
    for command in ("check", "read"):
        subject_.run_process(command, config, tmp_path)
    assert len(server.requests) == 2
    for headers in server.requests:
        assert headers.get("Authorization", "secret right-key") == "secret right-key"
        assert "right-key" in str(headers)


@pytest.mark.parametrize("subject_", SUBJECTS, ids=lambda subject: subject.source.__name__)
def test_a_firewalls_page_is_not_called_a_wrong_key(subject_, server, tmp_path):
    page = b"<html><title>Attention Required!</title>You have been blocked</html>"
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nServer: cloudflare\r\nContent-Length: %d\r\n\r\n"
    server.answer = lambda handler: handler.wfile.write(head % len(page) + page)
    config = {"api_key": "right-key", "secret_key": "right-key", "start_date": "2026-01-01", "api_url": server.url}
    config |= {"end_date": "2026-01-01", "max_tries": 1, "request_interval_seconds": 0}
    for command in ("check", "read"):
        _, out, err = subject_.run_process(command, config, tmp_path)
        assert err == ""
        assert "A firewall or proxy answered in place of 127.0.0.1 (HTTP 403 with a web page)." in out
