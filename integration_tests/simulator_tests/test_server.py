"""The simulator as a program: start, greeting, end, reset, and a complete README."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest
import requests

from integration_tests.simulator import SimulatorClient, running_simulator, simulator_process
from integration_tests.simulator.admin import ADMIN
from integration_tests.simulator.faults import KINDS
from integration_tests.simulator.switches import SWITCHES
from integration_tests.simulator.wecantrack.admin import WECANTRACK_ADMIN

FOLDER = Path(__file__).parents[1] / "simulator"
COMMAND = [sys.executable, "-m", "integration_tests.simulator"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_program_prints_its_url_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    port_file = tmp_path / "port"
    command = [*COMMAND, "--transactions", "50", "--port-file", str(port_file), "--freeze", "--now", "2026-04-01"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=FOLDER.parents[1]
    ) as process:
        try:
            deadline = time.monotonic() + 20
            while not port_file.exists():
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.02)
            url = f"http://127.0.0.1:{port_file.read_text()}"
            assert requests.get(f"{url}/_sim/stats", timeout=10).json()["wecantrack"]["visible"] == 50
            process.send_signal(number)
            output, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0
    assert errors == ""
    assert url in output
    assert SimulatorClient.wecantrack_key in output
    assert SimulatorClient.wicked_key in output
    assert "not the vendors" in output


def test_the_help_says_that_it_is_not_the_vendors() -> None:
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, cwd=FOLDER.parents[1], check=True)
    assert "test equipment" in done.stdout
    assert "not the vendors" in " ".join(done.stdout.split())


def test_a_process_of_its_own_answers_and_stops() -> None:
    with simulator_process("--transactions", "20", "--now", "2026-04-01T00:00:00") as client:
        assert len(client.transactions()) == 20
        assert client.now().startswith("2026-04-01T00:0")
        url = client.url
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(url, timeout=2)


def test_two_simulators_share_nothing() -> None:
    with running_simulator(frozen=True) as one, running_simulator(frozen=True) as two:
        assert one.url != two.url
        one.generate(transactions=5)
        one.switch("wecantrack.links", "off")
        assert (len(one.transactions()), len(two.transactions())) == (5, 0)
        assert two.switches()["wecantrack.links"] == "on"


def test_a_simulator_stops_while_a_request_hangs() -> None:
    with running_simulator() as client:
        client.fault("hang", times=0)
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(f"{client.url}/api/v2/networks", timeout=0.1)
        started = time.monotonic()
    assert time.monotonic() - started < 5


def test_a_reset_restores_everything() -> None:
    with running_simulator(start="2026-04-01", frozen=True) as client:
        client.generate(transactions=5)
        client.switch("wicked.ids", "lenient")
        client.fault("html_200", "/api/*")
        client.key("wicked", "other")
        client.throttle(1)
        client.mutate(after_page=1, touch=1)
        client.move_clock(days=3)
        for test in ("0", "1"):
            row = {"SourceSystem": "s", "SourceID": "p", "ProductName": "Thing", "ProductPrice": 1}
            headers = {"apikey": client.wicked_key, "test": test}
            requests.post(f"{client.url}/products", json=[row], headers=headers, timeout=10)
            assert len(client.wicked_rows("products", test=test == "1")) == 1
        client.reset()
        assert client.wicked_rows("products") == client.wicked_rows("products", test=True) == []
        assert client.transactions() == client.faults() == client.requests() == client.mutations() == []
        assert client.switches()["wicked.ids"] == "sdk"
        assert client.now() == "2026-04-01T00:00:00Z"
        assert client.stats()["requests"]["total"] == 0
        with pytest.raises(ValueError, match="unknown parts"):
            client.reset("everything")


@pytest.mark.parametrize(("name", "value"), [("no.such", "on"), ("wecantrack.links", "sometimes")])
def test_an_unknown_switch_or_value_is_refused(name: str, value: str) -> None:
    with running_simulator() as client, pytest.raises(ValueError, match="400"):
        client.switch(name, value)


def test_the_readme_names_every_switch_value_fault_and_admin_path() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for switch in SWITCHES:
        line = next(line for line in readme.splitlines() if line.startswith(f"| `{switch.name}` "))
        assert f"| `{switch.default}` |" in line
        assert all(f"`{value}`" in line for value in switch.values)
        assert switch.evidence in line
    assert all(f"| `{kind}` |" in readme for kind in KINDS)
    for path, names in {**ADMIN, **WECANTRACK_ADMIN}.items():
        for name in names:
            verb = name.split("_", maxsplit=1)[0].upper() if "_" in name else "GET"
            assert f"`{verb} /_sim/{path}`" in readme


def test_modules_of_the_simulator_are_short_and_name_no_connector() -> None:
    for module in FOLDER.rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 300, module.name
        assert "source_wecantrack" not in text
        assert "destination_wicked_reports" not in text


@pytest.mark.campaign
def test_the_200th_page_of_200000_rows_is_as_fast_as_the_first() -> None:
    window = {"date_type": "last_wct_update", "start_date": "2026-01-01T00:00:00", "end_date": "2026-04-01T00:00:00"}
    with simulator_process("--transactions", "0", "--now", "2026-04-01", "--freeze") as client, requests.Session() as s:
        client.generate(transactions=200_000, later_days=0, start="2026-01-01T00:00:00")
        headers = {"X-API-Key": client.wecantrack_key, "Accept": "application/json"}
        took = []
        for page in range(1, 201):
            started = time.perf_counter()
            reply = s.get(f"{client.url}/api/v3/transactions", params={**window, "page": page}, headers=headers)
            took.append(time.perf_counter() - started)
            assert reply.content.count(b'"transaction_id"') == 1000
    assert median(took[-50:]) < 3 * median(took[1:51])
