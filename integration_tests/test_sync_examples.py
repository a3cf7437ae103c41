"""The examples for cron, systemd and a scheduled workflow, as far as one machine can run them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from integration_tests.support.processes import RUN_SECONDS
from integration_tests.support.sync import ENVIRONMENT, FIRST, PROGRAM, PROGRAMS, SyncFolder, sync_folder

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def sync(tmp_path):
    with sync_folder(tmp_path, transactions=60, days=5) as folder:
        folder.settings["source"]["config"]["start_date"] = "2026-03-27"
        folder.write()
        keys = tmp_path / "keys.env"
        keys.write_text("".join(f"{name}={value}\n" for name, value in ENVIRONMENT.items()))
        yield folder


def from_cron(sync: SyncFolder) -> subprocess.CompletedProcess[str]:
    """Run the script as cron does: another folder, hardly any environment."""
    return subprocess.run(
        ["/bin/sh", "-c", f"{EXAMPLES}/cron/wicked-reports-sync.sh {sync.folder}"],
        cwd="/",
        env={"PATH": f"{PROGRAMS}:/usr/bin:/bin", "HOME": "/"},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        stdin=subprocess.DEVNULL,
    )


def test_the_script_for_cron_is_silent_if_all_is_well_and_prints_what_went_wrong(sync):
    well = from_cron(sync)
    assert (well.returncode, well.stdout, well.stderr) == (0, "", "")
    assert sync.position() == FIRST
    keys = sync.folder / "keys.env"
    keys.write_text(keys.read_text().replace(ENVIRONMENT["WECANTRACK_API_KEY"], "no-such-key"))
    wrong = from_cron(sync)
    assert wrong.returncode == 3
    assert "wecantrack does not accept the API key" in wrong.stdout
    assert wrong.stdout.endswith("wicked-reports-sync ended with code 3\n")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_units(tmp_path):
    for unit in (EXAMPLES / "systemd").iterdir():
        text = unit.read_text().replace("/opt/wicked/.venv/bin/wicked-reports-sync", str(PROGRAM))
        (tmp_path / unit.name).write_text(text.replace("User=wicked", "User=root"))
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(tmp_path.iterdir()))], capture_output=True, text=True
    )
    named = [line for line in done.stderr.splitlines() if "wicked-reports-sync" in line]
    assert named == []


def test_the_step_of_the_workflow_runs_and_its_secrets_are_those_of_sync_yaml(sync):
    workflow = yaml.safe_load((EXAMPLES / "github/wicked-reports-sync.yml").read_text())
    (run,) = [step for step in workflow["jobs"]["sync"]["steps"] if step.get("name") == "Run"]
    assert {name for name in ENVIRONMENT if name in run["env"]} == {"WECANTRACK_API_KEY", "WICKED_REPORTS_API_KEY"}
    done = subprocess.run(
        ["bash", "-e", "-c", run["run"]],
        cwd=sync.folder,
        env={"PATH": f"{PROGRAMS}:/usr/bin:/bin", **{name: ENVIRONMENT.get(name, "") for name in run["env"]}},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
