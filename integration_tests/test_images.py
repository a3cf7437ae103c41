"""Every command of every image, through `docker run`: hardened, killed, stopped, resumed; and Airbyte's image tests."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from destination_wicked_reports.api.endpoints import ENDPOINTS
from destination_wicked_reports.sync.state import is_running

from integration_tests.simulator.client import SimulatorClient
from integration_tests.simulator.server import running_simulator
from integration_tests.support.containers import PACKAGES, ROOT, Containers, docker, plain, require, require_image
from integration_tests.support.processes import Workspace, catalog, finish_pipe, start_pipe
from integration_tests.support.sync import ENVIRONMENT, SyncFolder, sync_folder
from integration_tests.test_destination import order, state
from integration_tests.test_kill import Pipeline, sums
from integration_tests.test_sync_kill import processes_of, reading_on, start

FIRST, SECOND = "2026-04-01T12:00:00", "2026-04-08T12:00:00"
DESTINATION = "destination-wicked-reports"
SOURCES = [name for name in PACKAGES if name.startswith("source-")]
LIMIT_SECONDS = 60
#: additions to the configs of the standard tests, so that nothing waits for a rate limit
QUICK = {"source-sovrn": {"request_interval_seconds": 0}, "source-wicked-reports": {"lookback_days": 0}}

images = pytest.mark.image_tests
every_image = pytest.mark.parametrize("connector", PACKAGES)
every_source = pytest.mark.parametrize("connector", SOURCES)


@pytest.fixture
def image(connector: str) -> str:
    return require(connector)


@pytest.fixture
def containers(tmp_path) -> Iterator[Containers]:
    secrets = [SimulatorClient.wecantrack_key, SimulatorClient.wicked_key, SimulatorClient.sovrn_key]
    space = Containers(tmp_path, secrets)
    yield space
    space.clear()
    assert list(space.leaks()) == []


@pytest.fixture
def busy() -> Iterator[SimulatorClient]:
    """A simulator with two weeks of both networks' transactions and changes, without rate limits."""
    with running_simulator(start=FIRST, frozen=True) as simulator:
        simulator.generate(transactions=900, days=30, later_days=8)
        simulator.sovrn.generate(transactions=300, days=8, later_days=8)
        simulator.throttle(100_000)
        simulator.sovrn.pace(0)
        yield simulator


def fill(connector: str, simulator: SimulatorClient, start: str) -> None:
    """Generate outbound rows for source-wicked-reports, which the networks' scenarios do not have."""
    if connector == "source-wicked-reports":
        simulator.outbound.seed(start=start, days=8, contacts=20, orders=60, clicks=90)
        simulator.outbound.pace(0)


def source_config(connector: str, simulator: SimulatorClient) -> dict[str, Any]:
    fill(connector, simulator, "2026-03-24")
    config = json.loads((ROOT / connector / "unit_tests/configs/valid.json").read_text())
    return {
        **config,
        **QUICK.get(connector, {}),
        "api_url": simulator.url,
        "start_date": "2026-03-24",
        "end_date": "2026-03-31",
    }


# --- the image itself ------------------------------------------------------------------------------------------------


@images
@every_image
def test_spec_needs_no_network_no_rights_and_no_writable_root(connector, image, tmp_path):
    containers = Containers(tmp_path, network="none")
    inside = plain(containers.run(connector, "spec")).of("SPEC")
    outside = plain(Workspace(tmp_path).run(connector, "spec")).of("SPEC")
    assert len(inside) == 1
    assert inside == outside
    assert containers.results[0].foreign == []


LOOK = """
import importlib.util, json, os, pathlib, sys, sysconfig
home = pathlib.Path(sysconfig.get_path("purelib"))
main = pathlib.Path("/airbyte/integration_code/main.py")
sources = [path for path in home.rglob("*.py") if "__pycache__" not in path.parts]
print(json.dumps({
    "uid": os.getuid(),
    "uncompiled": [str(path) for path in sources
                   if not os.path.exists(importlib.util.cache_from_source(str(path)))],
    "writable": [str(path) for path in [home, main, *sources] if os.access(path, os.W_OK)],
    "installers": [name for name in ("pip", "uv", "setuptools") if importlib.util.find_spec(name)],
    "tests": [str(path) for path in home.rglob("unit_tests")],
}))
"""


@images
@every_image
def test_the_image_runs_compiled_read_only_code_as_user_airbyte(connector, image):
    done = docker("run", "--rm", "--network", "none", "--entrypoint", "python", image, "-c", LOOK)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"uid": 1000, "uncompiled": [], "writable": [], "installers": [], "tests": []}


@images
@every_image
def test_entry_point_and_version_are_where_airbyte_expects_them(connector, image):
    (told,) = json.loads(docker("image", "inspect", image).stdout)
    metadata = (ROOT / connector / "metadata.yaml").read_text()
    assert f"AIRBYTE_ENTRYPOINT={' '.join(told['Config']['Entrypoint'])}" in told["Config"]["Env"]
    assert told["Config"]["Labels"]["io.airbyte.name"] == image.removesuffix(":dev")
    assert told["Config"]["Labels"]["io.airbyte.version"] == re.search(r"dockerImageTag: (\S+)", metadata)[1]
    assert told["Config"]["User"] == "airbyte"


def hears_sigterm(container: str) -> bool:
    """Return whether the container's process 1 has a signal handler; without one, the kernel drops the signal."""
    pid = docker("inspect", "--format", "{{.State.Pid}}", container).stdout.strip() or "0"
    status = Path("/proc", pid, "status")
    caught = re.search(r"SigCgt:\s*(\w+)", status.read_text()) if status.exists() else None
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


@images
@every_image
def test_sigterm_while_the_connector_is_still_being_imported_ends_the_container_at_once(connector, image, containers):
    line = containers.command(connector, "spec")
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    wait_until(lambda: hears_sigterm(containers.name_of(connector)) or process.poll() is not None)
    containers.stop(connector)
    stdout, stderr = process.communicate(timeout=LIMIT_SECONDS)
    assert (process.returncode, stdout, stderr) == (143, b"", b"")


def test_the_images_leave_out_only_dependencies_of_the_cdk():
    declared = {re.match(r"[\w.-]+", line)[0].lower() for line in importlib.metadata.requires("airbyte-cdk")}
    excluded = {
        line for line in (ROOT / "docker/excluded-packages.txt").read_text().splitlines() if not line.startswith("#")
    }
    assert excluded <= declared


# --- sources ---------------------------------------------------------------------------------------------------------


@images
@every_source
def test_a_source_checks_discovers_and_reads_on_from_its_state(connector, image, containers, busy):
    config = source_config(connector, busy)
    (works,) = plain(containers.run(connector, "check", config=config)).of("CONNECTION_STATUS")
    assert works["status"] == "SUCCEEDED"
    (discovered,) = plain(containers.run(connector, "discover", config=config)).of("CATALOG")
    streams = [stream["name"] for stream in discovered["streams"] if stream.get("source_defined_cursor")]
    first = plain(containers.run(connector, "read", config=config, catalog=catalog(*streams)))
    assert first.records
    state = list({json.dumps(s["stream"]["stream_descriptor"]): s for s in first.states}.values())
    again = plain(containers.run(connector, "read", config=config, catalog=catalog(*streams), state=state))
    assert len(again.records) < len(first.records)


@images
@every_source
def test_a_wrong_key_and_a_missing_network_are_reported_in_one_sentence(connector, image, containers, busy, tmp_path):
    config = {**source_config(connector, busy), "max_tries": 1}
    wrong = json.loads((ROOT / connector / "unit_tests/configs/wrong_key.json").read_text())
    (status,) = containers.run(connector, "check", config={**config, **wrong, "api_url": busy.url}).of(
        "CONNECTION_STATUS"
    )
    assert status["status"] == "FAILED"
    containers.network = "none"
    (dead,) = containers.run(connector, "check", config=config).of("CONNECTION_STATUS")
    assert dead["status"] == "FAILED"
    assert status["message"] != dead["message"]
    (trace,) = containers.results[-1].of("TRACE")
    assert trace["error"]["message"] == dead["message"]
    assert "Traceback" not in dead["message"]


# --- destination -----------------------------------------------------------------------------------------------------


@images
def test_the_destination_checks_its_key_and_its_network_and_discovers(busy, containers):
    require(DESTINATION)
    good = {"api_key": busy.wicked_key, "api_url": busy.url}

    def check(network: str, config: dict[str, Any]) -> tuple[str, str]:
        containers.network = network
        (told,) = plain(containers.run(DESTINATION, "check", config=config)).of("CONNECTION_STATUS")
        assert "Traceback" not in told["message"]
        return told["status"], told["message"]

    status, said = check("host", good)
    assert status == "SUCCEEDED"
    assert "accepted the API key" in said
    status, said = check("host", {**good, "api_key": "no-such-key"})
    assert status == "FAILED"
    assert "refused the API key" in said
    status, said = check("none", good)
    assert status == "FAILED"
    assert "cannot be reached" in said
    (discovered,) = plain(containers.run(DESTINATION, "discover", config=good)).of("DESTINATION_CATALOG")
    assert {operation["object_name"] for operation in discovered["operations"]} == set(ENDPOINTS)
    assert [request for request in busy.requests() if request["method"] == "POST"] == []


# --- whole pipelines -------------------------------------------------------------------------------------------------


class Sync:
    """wecantrack into Wicked Reports, both in containers, with the ledger's default path."""

    def __init__(self, simulator: SimulatorClient, containers: Containers) -> None:
        require("source-wecantrack")
        require(DESTINATION)
        self.containers, self.simulator = containers, simulator
        self.source = {"api_key": simulator.wecantrack_key, "api_url": simulator.url, "start_date": "2026-03-02"}
        rule = {"field": "sub_ids.*", "pattern": r"(?P<contact_id>U[0-9]+)-"}
        self.destination = {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "mapping": {"type": "wecantrack", "contact_rules": [rule], "without_contact": "synthetic"},
            "batch_rows": 60,
            "on_rejected_record": "skip",
        }
        self.state: list[dict[str, Any]] = []

    def start(self, end: str):
        asked, state = catalog("transactions"), self.containers.file("state.json", self.state)
        config = {**self.source, "end_date": end}
        return start_pipe(
            self.containers.command("source-wecantrack", "read", config=config, catalog=asked, state=state),
            self.containers.command(DESTINATION, "write", config=self.destination, catalog=asked),
        )

    def finish(self, reader, writer):
        result = finish_pipe(self.containers, reader, writer)
        self.simulator.clear_faults()
        self.state = result.state or self.state
        return result

    def run(self, end: str):
        result = self.finish(*self.start(end))
        assert (result.source_code, result.destination.code) == (0, 0), result.destination.said
        return result.destination

    def start_and_wait_for_orders(self, end: str):
        """Start a sync that is slow on both sides; return while it runs."""
        self.source["page_size"] = 25
        self.simulator.fault("slow", "/api/v3/transactions", seconds=0.3, times=0)
        self.simulator.fault("slow", method="POST", seconds=0.05, times=0)
        started = self.start(end)
        wait_until(lambda: self.orders() > 100 or started[1].poll() is not None)
        return started

    def orders(self) -> int:
        return len(self.simulator.wicked_rows("orders"))

    def dead_letters(self) -> list[dict[str, Any]]:
        return self.containers.letters()

    missing = Pipeline.missing


def wait_until(condition) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def sync(busy, containers) -> Sync:
    return Sync(busy, containers)


@images
def test_after_two_syncs_through_containers_wicked_stores_what_it_must(busy, sync):
    for end in (FIRST, SECOND):
        busy.set_clock(end, frozen=True)
        sync.run(end)
    assert busy.held()["table"] == busy.truth([FIRST, SECOND])
    assert busy.held()["duplicate_orders"] == []


@images
def test_a_ledger_on_a_named_volume_is_writable_and_persists(busy, sync):
    sync.containers.volume = f"wicked-ledger-{uuid.uuid4().hex[:12]}"
    try:
        first = sync.run(FIRST)
        posts = [request for request in busy.requests() if request["method"] == "POST"]
        assert posts
        assert any("/local/wicked-reports/ledger.sqlite" in line for line in first.logs)
        assert not any("not on a volume" in line for line in first.logs)
        sync.state = []
        sync.run(FIRST)
        assert [request for request in busy.requests() if request["method"] == "POST"] == posts
    finally:
        assert docker("volume", "rm", sync.containers.volume).returncode == 0


@images
def test_without_a_volume_the_user_is_warned_that_the_ledger_ends_with_the_container(busy, containers, tmp_path):
    image = require(DESTINATION)
    config = containers.file("config.json", {"api_key": busy.wicked_key, "api_url": busy.url})
    containers.file("catalog.json", catalog("orders"))
    config.chmod(0o644)
    line = ["docker", "run", "--rm", "-i", "--network", "host", "-v", f"{containers.folder}:/secrets:ro", image]
    line += ["write", "--config", "/secrets/config.json", "--catalog", "/secrets/catalog.json"]
    nothing_new = b'{"type": "LOG", "log": {"level": "INFO", "message": "Read 0 records"}}\n'
    done = subprocess.run(line, input=nothing_new, capture_output=True, timeout=LIMIT_SECONDS, check=False)
    result = plain(containers.keep(done.returncode, done.stdout, done.stderr))
    assert any("not on a volume" in message for message in result.logs)


@images
@pytest.mark.parametrize("victims", [["source-wecantrack"], [DESTINATION], ["source-wecantrack", DESTINATION]])
def test_after_a_kill_nothing_is_lost_or_sent_twice(busy, sync, victims):
    started = sync.start_and_wait_for_orders(FIRST)
    for victim in victims:
        sync.containers.kill(victim)
    result = sync.finish(*started)
    codes = {"source-wecantrack": result.source_code, DESTINATION: result.destination.code}
    assert {codes[victim] for victim in victims} == {137}
    assert sync.orders() < len(busy.truth([FIRST], orders=True))
    sync.run(FIRST)
    expected, mine = sums(sync, [FIRST])
    assert mine == expected
    assert all(letter["outcome"] == "in_doubt" for letter in sync.dead_letters())


@images
def test_a_stopped_sync_leaves_nothing_in_doubt_and_the_next_one_continues(busy, sync):
    reader, writer = sync.start_and_wait_for_orders(FIRST)
    sync.containers.stop("source-wecantrack")
    sync.containers.stop(DESTINATION)
    result = sync.finish(reader, writer)
    assert (result.source_code, result.destination.code) == (143, 143)
    assert "Traceback" not in result.destination.said + result.source_stderr
    assert sync.orders() < len(busy.truth([FIRST], orders=True))
    sync.run(FIRST)
    assert busy.held()["table"] == busy.truth([FIRST])
    assert busy.held()["duplicate_orders"] == []
    assert sync.dead_letters() == []


@images
def test_sigterm_acknowledges_what_was_accepted_and_exits_143(busy, containers):
    require(DESTINATION)
    config = {"api_key": busy.wicked_key, "api_url": busy.url, "batch_rows": 1}
    line = containers.command(DESTINATION, "write", config=config, catalog=catalog("orders"))
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    for message in (order(1), state(1)):
        process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()
    lines = []
    for line in process.stdout:
        lines.append(line)
        if b'"STATE"' in line:
            break
    containers.stop(DESTINATION)
    stdout, stderr = process.communicate(timeout=LIMIT_SECONDS)
    result = containers.keep(process.returncode, b"".join(lines) + stdout, stderr)
    assert result.code == 143
    assert [message["id"] for message in result.states] == [1]
    plain(
        containers.run(
            DESTINATION, "write", config=config, catalog=catalog("orders"), stdin=[order(1), order(2), state(2)]
        )
    )
    assert [row["SourceID"] for row in busy.wicked_rows("orders")] == ["1", "2"]


# --- Airbyte's own image tests ---------------------------------------------------------------------------------------

#: read every stream; skip the comparison with the published spec, as Airbyte's registry does not have these connectors
OPTIONS = "--read-scenarios=valid --read-from-streams=all -p no:cacheprovider -k 'not spec_backward_compatibility'"
#: reasons for which the standard suite may skip a test
SKIPS = (
    "got empty parameter set",  # the destination has no scenario that needs a config
    "expected to fail",
    "does not run for scenario",
    "do not run for scenario",
    "for destination connector",
)


@images
@every_image
def test_airbytes_own_image_tests_pass(connector, image, busy, tmp_path):
    """`airbyte-cdk image test` calls plain `docker run`; a `docker` script on the PATH adds the network."""
    staged = tmp_path / connector
    shutil.copytree(
        ROOT / connector, staged, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "test_*", "conftest.py")
    )
    for path in staged.glob("unit_tests/configs/*.json"):
        config = {**json.loads(path.read_text()), **QUICK.get(connector, {}), "api_url": busy.url}
        path.write_text(json.dumps(config))
    busy.set_clock("2026-01-05T12:00:00", frozen=True)
    busy.generate(seed=3, transactions=300, days=10, later_days=0)
    busy.sovrn.generate(seed=3, transactions=300, days=10, later_days=0)
    fill(connector, busy, "2026-01-01")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    shim = bin_folder / "docker"
    shim.write_text(
        '#!/bin/sh\n[ "$1" = run ] && { shift; set -- run --network host "$@"; }\n'
        f'exec {shutil.which("docker")} "$@"\n'
    )
    shim.chmod(0o755)
    done = subprocess.run(
        [Path(sys.executable).parent / "airbyte-cdk", "image", "test", str(staged), "--image", image],
        env={
            **os.environ,
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "PYTEST_ADDOPTS": OPTIONS,
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cases = ET.parse(staged / "build/test-results/standard-tests-junit.xml").getroot().iter("testcase")
    outcomes = {
        case.get("name"): (skip.get("message") or "") if (skip := case.find("skipped")) is not None else None
        for case in cases
    }
    passed = {name.split("[")[0] for name, reason in outcomes.items() if reason is None}
    assert passed >= STANDARD[connector.split("-")[0]]
    assert [reason for reason in outcomes.values() if reason and not any(known in reason for known in SKIPS)] == []


STANDARD = {
    "destination": {"test_docker_image_build_and_spec"},
    "source": {
        f"test_docker_image_build_and_{what}" for what in ("spec", "check", "config_matches_spec", "discover", "read")
    },
}


# --- wicked-reports-sync ---------------------------------------------------------------------------------------------


@images
def test_one_image_syncs_from_a_mounted_folder(busy, tmp_path):
    image = require_image("airbyte/wicked-reports-sync:dev")
    folder = SyncFolder(tmp_path, busy)
    folder.settings["source"]["config"]["end_date"] = FIRST
    folder.write()
    keys = [
        word
        for name in ("WECANTRACK_API_KEY", "WICKED_REPORTS_API_KEY")
        for word in ("--env", f"{name}={ENVIRONMENT[name]}")
    ]
    user = f"{os.getuid()}:{os.getgid()}"
    command = ["run", "--rm", "--network", "host", "--volume", f"{tmp_path}:/work", "--user", user, *keys, image]
    assert docker("run", "--rm", "--network", "none", image, "--version").stdout.startswith("wicked-reports-sync ")
    done = docker(*command, "run", "sync.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert busy.held()["table"] == busy.truth([FIRST])
    assert folder.position() == FIRST
    assert docker(*command, "status").stdout.startswith("source")


@images
@pytest.mark.parametrize("how", ["Ctrl-C", "docker run is killed", "the command is killed"])
def test_the_container_of_a_source_ends_with_the_run_or_before_the_next_one(tmp_path, how):
    image, private = require("source-wecantrack"), tmp_path / "private"
    private.mkdir()
    with sync_folder(tmp_path, transactions=300, slow_seconds=0.5, batch_rows=5) as folder:
        config = folder.settings["source"]["config"]
        folder.settings["source"] = {"image": image, "docker_options": ["--network", "host"], "config": config}
        folder.write()
        runner = start(folder, XDG_RUNTIME_DIR=str(private))
        wait_until(lambda: reading_on(folder, ""))
        (file,) = private.glob("*/*.read.container")
        container = file.read_text()
        assert container in docker("ps", "--no-trunc", "--quiet").stdout
        if how == "docker run is killed":
            os.kill(processes_of(runner.pid)["source"], signal.SIGKILL)
        else:
            runner.send_signal(signal.SIGINT if how == "Ctrl-C" else signal.SIGKILL)
        assert runner.wait(LIMIT_SECONDS) == (-signal.SIGKILL if how == "the command is killed" else 2)
        if how == "the command is killed":
            assert container in docker("ps", "--no-trunc", "--quiet").stdout
            wait_until(lambda: not is_running(tmp_path / "state.json"))
        folder.simulator.clear_faults()
        if how == "the command is killed":
            assert folder.run("run", XDG_RUNTIME_DIR=str(private)).returncode == 0
        assert container not in docker("ps", "--all", "--no-trunc", "--quiet").stdout
        assert list(private.iterdir()) == []
