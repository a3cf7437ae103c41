"""Default paths of the files of a run, and whether they outlive their container."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path

import pytest
from builders.destination import make_row
from destination_wicked_reports.config import paths
from destination_wicked_reports.config.paths import data_folder, is_ephemeral, ledger_path, rejects_path
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile
from destination_wicked_reports.delivery.session import log_locations, open_dead_letters, warn_of_new_ledger
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.opening import open_ledger
from destination_wicked_reports.ledger.outbox import Batch

NOWHERE = Path("/nowhere/at/all")
POSTGRES = {"type": "postgres", "url": "postgresql://user:password@localhost/wicked"}


def config(**settings):
    return Config.parse({"api_key": "k", **settings})


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of its own: no container, no Kubernetes, no /local, nothing mounted, a home in the test's folder."""

    class Machine:
        home = tmp_path / "home"
        airbyte_volume = tmp_path / "local"
        mounted: frozenset[Path] = frozenset()

        def mount(self, *folders: Path) -> None:
            self.mounted = frozenset({Path("/"), *folders})

        def be_in(self, where: str) -> None:
            if where == "kubernetes":
                monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
            elif where in ("docker", "podman"):
                sign = tmp_path / where
                sign.touch()
                monkeypatch.setattr(paths, "CONTAINER_MARKERS", (NOWHERE, sign))

    made = Machine()
    made.mount()
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(paths, "CONTAINER_MARKERS", (NOWHERE, NOWHERE))
    monkeypatch.setattr(paths, "AIRBYTE_VOLUME", made.airbyte_volume)
    monkeypatch.setattr(paths, "user_data_path", lambda name, appauthor: made.home / name)
    monkeypatch.setattr(paths.os.path, "ismount", lambda folder: Path(folder) in made.mounted)
    return made


# -- the folder -------------------------------------------------------------------------------------------------------


def test_without_airbytes_volume_files_go_to_the_users_data_folder(machine):
    assert data_folder() == machine.home / "destination-wicked-reports"


def test_airbytes_volume_is_taken_where_it_is_mounted_and_writable(machine):
    machine.airbyte_volume.mkdir()
    assert data_folder() == machine.airbyte_volume / "wicked-reports"


def test_an_airbyte_volume_that_is_not_writable_is_ignored(machine, monkeypatch):
    machine.airbyte_volume.mkdir()
    asked = []
    # Patched rather than made read-only, since root may write everywhere.
    monkeypatch.setattr(paths.os, "access", lambda path, mode: asked.append((path, mode)))
    assert data_folder() == machine.home / "destination-wicked-reports"
    assert asked == [(machine.airbyte_volume, paths.os.W_OK)]


def test_a_file_with_the_name_of_airbytes_volume_is_not_a_volume(machine):
    machine.airbyte_volume.touch()
    assert data_folder() == machine.home / "destination-wicked-reports"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems' folders are platformdirs' decision")
def test_on_linux_the_data_folder_follows_the_xdg_standard(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "AIRBYTE_VOLUME", NOWHERE)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert data_folder() == tmp_path / "share" / "destination-wicked-reports"


# -- the files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "ledger", "rejects"),
    [
        ({}, "DATA/ledger.sqlite", "DATA/rejected_records.jsonl"),
        ({"ledger": {"path": "/x/l.db", "type": "sqlite"}}, "/x/l.db", "/x/rejected_records.jsonl"),
        ({"ledger": {"path": "~/l.db", "type": "sqlite"}}, "HOME/l.db", "HOME/rejected_records.jsonl"),
        ({"rejected_records_path": "/y/bad.jsonl"}, "DATA/ledger.sqlite", "/y/bad.jsonl"),
        ({"rejected_records_path": "~/bad.jsonl"}, "DATA/ledger.sqlite", "HOME/bad.jsonl"),
        ({"ledger": POSTGRES}, None, "DATA/rejected_records.jsonl"),
        ({"ledger": {"type": "none"}}, None, "DATA/rejected_records.jsonl"),
        ({"ledger": {"type": "none"}, "rejected_records_path": "/y/bad.jsonl"}, None, "/y/bad.jsonl"),
    ],
)
def test_rejected_rows_go_next_to_the_ledger_unless_configured(machine, monkeypatch, settings, ledger, rejects):
    monkeypatch.setenv("HOME", str(machine.home))

    def meant(path: str) -> Path:
        return Path(path.replace("DATA", str(data_folder())).replace("HOME", str(machine.home)))

    parsed = config(**settings)
    assert ledger_path(parsed) == (None if ledger is None else meant(ledger))
    assert rejects_path(parsed) == meant(rejects)


def test_the_default_folder_is_made_for_its_owner_alone(machine):
    open_ledger(config()).close()
    open_dead_letters(config()).close()
    assert data_folder().stat().st_mode & 0o777 == 0o700
    assert ledger_path(config()).is_file()


# -- what outlives the container --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "mounted", "lost"),
    [
        ("a machine", [], False),
        ("a machine", ["/data"], False),
        ("docker", [], True),
        ("docker", ["/data"], False),
        ("docker", ["/data/wicked/deep"], False),
        ("docker", ["/data/other"], True),
        ("podman", [], True),
        ("podman", ["/data/wicked"], False),
        ("kubernetes", [], True),
        ("kubernetes", ["/data"], False),
    ],
)
def test_a_file_is_lost_with_its_container_unless_a_folder_above_it_is_a_volume(machine, where, mounted, lost):
    machine.be_in(where)
    machine.mount(*map(Path, mounted))
    assert is_ephemeral(Path("/data/wicked/deep/ledger.sqlite")) is lost


def test_a_relative_path_is_resolved_against_the_working_folder(machine, monkeypatch, tmp_path):
    machine.be_in("docker")
    monkeypatch.chdir(tmp_path)
    assert is_ephemeral(Path("ledger.sqlite"))
    machine.mount(tmp_path)
    assert not is_ephemeral(Path("ledger.sqlite"))


# -- warnings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "volumes", "warned_of"),
    [
        ("a machine", "", ""),
        ("docker", "", "ledger"),
        ("kubernetes", "", "ledger"),
        ("docker", "ledger rejects", ""),
        ("docker", "ledger", "rejects"),
        ("kubernetes", "ledger", "rejects"),
        ("docker", "rejects", "ledger"),
    ],
)
def test_a_run_in_a_container_without_a_volume_warns_once_and_names_the_fix(
    machine, tmp_path, caplog, where, volumes, warned_of
):
    folders = {"ledger": tmp_path / "ledger", "rejects": tmp_path / "rejects"}
    for folder in folders.values():
        folder.mkdir()
    machine.be_in(where)
    machine.mount(*(folders[name] for name in volumes.split()))
    settings = config(
        ledger={"type": "sqlite", "path": str(folders["ledger"] / "l.sqlite")},
        rejected_records_path=str(folders["rejects"] / "bad.jsonl"),
    )
    warnings = warnings_of(settings, caplog)
    if not warned_of:
        assert warnings == []
        return
    (warning,) = warnings
    assert str(folders[warned_of]) in warning
    assert "inside this container and not on a volume" in warning
    assert ("use the ledger `postgres`" in warning) == (warned_of == "ledger")


def test_without_a_ledger_every_run_warns(machine, caplog):
    (warning,) = warnings_of(config(ledger={"type": "none"}), caplog)
    assert warning.startswith("Without a ledger nothing is remembered")


def test_a_new_ledger_is_a_warning_that_says_what_follows(machine, caplog):
    for ledger in ({"type": "sqlite"}, {"type": "none"}):
        settings = config(ledger=ledger)
        opened = open_ledger(settings)
        warn_of_new_ledger(settings, opened)
        opened.close()
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert warning.getMessage().startswith(
        f"The ledger {ledger_path(config())} is new and empty: everything that the source delivers will be sent."
    )


@pytest.mark.parametrize("test_mode", [True, False])
def test_a_ledger_with_rows_of_the_other_mode_only_is_not_called_new_and_empty(machine, caplog, test_mode):
    with contextlib.closing(open_ledger(config(test_mode=not test_mode))) as other:
        batch = Batch("orders", [make_row("orders", 1), make_row("orders", 2)])
        other.begin(batch)
        other.commit(batch, batch.rows)
    settings = config(test_mode=test_mode)
    with contextlib.closing(open_ledger(settings)) as opened:
        warn_of_new_ledger(settings, opened)
    (warning,) = caplog.messages
    ours, others = ("test", "live") if test_mode else ("live", "test")
    assert warning.startswith(
        f"The ledger {ledger_path(settings)} has 0 rows of {ours} mode, and 2 of {others} mode: everything that"
    )
    assert "If this connection has sent rows in this mode before" in warning


def warnings_of(settings: Config, caplog: pytest.LogCaptureFixture) -> list[str]:
    ledger: Ledger = open_ledger(settings)
    dead_letters: DeadLetterFile = open_dead_letters(settings)
    with caplog.at_level(logging.INFO, logger="airbyte"):
        log_locations(settings, ledger, dead_letters)
    ledger.close()
    dead_letters.close()
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
