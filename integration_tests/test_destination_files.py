"""The destination's files as a user names, moves and mistakes them: the ledger and the dead-letter file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from integration_tests.support.layers import unavailable
from integration_tests.support.processes import BIN, catalog

NAME = "destination-wicked-reports"
WAIT_SECONDS = 60
#: Stands for a file system without file locks (NFS mounted with nolock, some FUSE and SMB mounts).
NO_LOCKS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#define WRAP(name) int name(int fd, int c, ...) { va_list a; va_start(a, c); void *p = va_arg(a, void *); va_end(a); \\
  if (c == F_SETLK || c == F_SETLKW || c == F_OFD_SETLK) { errno = ENOLCK; return -1; } \\
  int (*real)(int, int, ...) = dlsym(RTLD_NEXT, #name); return real(fd, c, p); }
WRAP(fcntl)
WRAP(fcntl64)
"""


@pytest.fixture
def config(simulator, tmp_path):
    def make(path: Path | str | None = None, **extra):
        return {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite" if path is None else path)},
            **extra,
        }

    return make


def payment(number: int, **extra):
    fields = {"SourceSystem": "shop", "OrderID": f"o{number}", "PaymentDate": "2026-03-01 10:00:00", "Amount": "5.00"}
    data = {**fields, "Status": "APPROVED", **extra}
    return {"type": "RECORD", "record": {"stream": "order_payments", "emitted_at": 1, "data": data}}


STATE = {
    "type": "STATE",
    "state": {
        "type": "STREAM",
        "stream": {"stream_descriptor": {"name": "order_payments"}, "stream_state": {"at": 1}},
    },
}


def write(workspace, config, messages):
    return workspace.run(NAME, "write", config=config, catalog=catalog("order_payments"), stdin=messages)


def check(workspace, config):
    result = workspace.run(NAME, "check", config=config)
    (status,) = result.of("CONNECTION_STATUS")
    assert result.code == 0
    return status["status"], status["message"]


# -- the path of the ledger -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a?mode=memory.sqlite", "led#ger.sqlite", "50%25/l%65dger.sqlite", "ü :memory:"])
def test_a_path_means_the_file_of_that_name_and_no_other(workspace, simulator, config, tmp_path, name):
    folder = tmp_path / "files"
    path = folder / name
    for _ in range(2):
        result = write(workspace, config(path), [payment(1), STATE])
        assert (result.code, len(result.states)) == (0, 1)
    assert len(simulator.wicked_rows("orderpayments")) == 1
    assert path.is_file()
    assert path.stat().st_mode & 0o777 == 0o600
    shown = subprocess.run(
        ledger_status(workspace, config(path)), capture_output=True, text=True, check=False, timeout=60
    )
    assert (shown.returncode, "order_payments" in shown.stdout) == (0, True)
    files = {each for each in folder.rglob("*") if each.is_file() and not each.name.endswith(("-wal", "-shm"))}
    assert files == {path}, "no other file was created"


def ledger_status(workspace, settings):
    program, command, *options = workspace.command(NAME, "ledger", config=settings)
    return [program, command, "status", *options]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (":memory:", "`:memory:` and `file:` are not supported"),
        ("file:ledger.sqlite", "`:memory:` and `file:` are not supported"),
        ("file:///tmp/ledger.sqlite?mode=memory", "`:memory:` and `file:` are not supported"),
        ("~nobodysuch/ledger.sqlite", "starts with ~nobodysuch, a home folder that this machine does not know"),
        ("/" + "l" * 300, "File name too long"),
        ("/dev/null", "is not a regular file"),
        ("/\0", "null character"),
    ],
)
@pytest.mark.parametrize("command", ["check", "write", "ledger"])
def test_a_path_that_is_no_file_is_refused_by_every_command(workspace, config, path, words, command):
    if command == "check":
        status, message = check(workspace, config(path))
        assert (status, words in message) == ("FAILED", True), message
    elif command == "write":
        result = write(workspace, config(path), [payment(1)])
        assert (result.code, words in result.errors[0]["message"]) == (1, True), result.errors
    elif path != "/dev/null":  # which is "no ledger" for a command that creates none
        done = subprocess.run(ledger_status(workspace, config(path)), capture_output=True, text=True, check=False)
        assert (done.returncode, words in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize("name", ["ledger", "rejected"])
def test_a_relative_path_is_refused_with_the_absolute_one_to_write(workspace, simulator, config, tmp_path, name):
    settings = config("ledger.sqlite") if name == "ledger" else config(rejected_records_path="bad.jsonl")
    setting, file = ("ledger.path", "ledger.sqlite") if name == "ledger" else ("rejected_records_path", "bad.jsonl")
    command = workspace.command(NAME, "write", config=settings, catalog=catalog("order_payments"))
    stdin = json.dumps(payment(1)).encode() + b"\n"
    done = subprocess.run(command, input=stdin, capture_output=True, cwd=tmp_path, check=False)
    result = workspace.keep(done.returncode, done.stdout, done.stderr)
    assert result.code == 1
    assert f"{setting}: is relative" in result.errors[0]["message"]
    assert f"write {tmp_path / file}" in result.errors[0]["message"]
    assert simulator.wicked_rows("orderpayments") == []
    assert not (tmp_path / file).exists()


def test_an_existing_ledger_that_others_may_read_is_made_private(workspace, simulator, config, tmp_path):
    write(workspace, config(), [payment(1)])
    (tmp_path / "ledger.sqlite").chmod(0o644)
    assert write(workspace, config(), [payment(2)]).code == 0
    assert (tmp_path / "ledger.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_file_system_without_locks_is_not_called_another_run(workspace, config, tmp_path, monkeypatch):
    if shutil.which("cc") is None:
        unavailable("no C compiler is installed: install the Debian package `gcc`")
    (tmp_path / "nolock.c").write_text(NO_LOCKS)
    library = tmp_path / "nolock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "nolock.c", "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    words = "its file system does not support file locks"
    status, message = check(workspace, config())
    assert (status, words in message) == ("FAILED", True), message
    result = write(workspace, config(), [payment(1)])
    assert (result.code, words in result.errors[0]["message"]) == (1, True), result.errors


# -- a ledger that vanishes during a run ------------------------------------------------------------------------------


def move(path: Path) -> None:
    path.rename(path.with_name("moved.sqlite"))


def remove_log(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


def replace(path: Path) -> None:
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


@pytest.mark.parametrize("vanish", [move, Path.unlink, replace, remove_log])
def test_a_ledger_that_vanishes_during_a_run_keeps_its_states(workspace, simulator, config, tmp_path, vanish):
    command = workspace.command(NAME, "write", config=config(batch_rows=1), catalog=catalog("order_payments"))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        process.stdin.write(json.dumps(payment(1)).encode() + b"\n")
        process.stdin.flush()
        deadline = time.monotonic() + WAIT_SECONDS
        while not simulator.wicked_rows("orderpayments"):
            assert time.monotonic() < deadline, "the payment was not sent"
            time.sleep(0.05)
        vanish(tmp_path / "ledger.sqlite")
        stdout, stderr = process.communicate(json.dumps(STATE).encode() + b"\n", timeout=WAIT_SECONDS)
    finally:
        process.kill()
        process.wait()
    result = workspace.keep(process.returncode, stdout, stderr)
    assert result.code == 1
    assert result.states == []
    assert f"The ledger {tmp_path / 'ledger.sqlite'} was moved, replaced or removed" in result.errors[0]["message"]


# -- the database's URL -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://wicked:correct@horse-battery@127.0.0.1:1/db", "more than one @"),
        ("postgresql://wicked:correct@horse/battery@127.0.0.1:1/db", "more than one @"),
        ("postgresql://wicked:correct@horse/battery?x@127.0.0.1:1/db", "more than one @"),
        ("postgresql://wicked:x@127.0.0.1:1/db?sslmode=horse-battery", "cannot be opened"),
        ("postgresql://wicked:x@127.0.0.1:1/db?service=horse-battery", "cannot be opened"),
        ("postgresql://wicked:x@127.0.0.1:1/db?connect_timeout=horse-battery", "a whole number as `connect_timeout`"),
        ("postgresql://wicked:x@127.0.0.1:1/db?port=horse-battery", "options after the `?`"),
        ("postgresql://wicked:x@127.0.0.1:1/db?row_factory=horse-battery", "`row_factory`"),
        ("postgresql://wicked:x@127.0.0.1:1/db?prepare_threshold=0", "cannot be opened"),
    ],
)
def test_a_url_with_a_fault_is_refused_and_never_quoted(workspace, simulator, config, url, words):
    settings = config() | {"ledger": {"type": "postgres", "url": url}}
    status, message = check(workspace, settings)
    result = write(workspace, settings, [payment(1)])
    shown = subprocess.run(ledger_status(workspace, settings), capture_output=True, text=True, check=False)
    assert (status, result.code, shown.returncode) == ("FAILED", 1, 1)
    for text in (message, result.errors[0]["message"], shown.stderr):
        assert words in text
    assert all("horse" not in text and "battery" not in text for text in (result.said, message, shown.stderr))


# -- the dead-letter file ---------------------------------------------------------------------------------------------


def dead_letters(path: Path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_row_that_fails_every_sync_is_in_the_dead_letter_file_once(workspace, config, tmp_path):
    settings = config(on_rejected_record="skip")
    for _ in range(3):
        result = write(workspace, settings, [payment(1, Amount="none"), STATE])
        assert (result.code, len(result.states)) == (0, 1)
        assert any("1 rejected" in line for line in result.logs)
        assert any("Open: 1 dead letter is in" in line for line in result.logs)
    (line,) = dead_letters(tmp_path / "rejected_records.jsonl")
    assert line["row"]["OrderID"] == "o1"


@pytest.mark.parametrize("kind", ["device", "fifo", "output", "config", "catalog", "ledger"])
def test_a_dead_letter_file_that_is_something_else_is_refused(workspace, simulator, config, tmp_path, kind):
    paths = {
        "device": Path("/dev/null"),
        "fifo": tmp_path / "fifo",
        "output": Path("/dev/stdout"),
        "config": workspace.folder / f"{NAME}.config.json",
        "catalog": workspace.folder / f"{NAME}.catalog.json",
        "ledger": tmp_path / "ledger.sqlite",
    }
    if kind == "fifo":
        os.mkfifo(paths[kind])
    settings = config(rejected_records_path=str(paths[kind]), on_rejected_record="skip")
    workspace.file(f"{NAME}.catalog.json", catalog("order_payments"))
    status, message = check(workspace, settings)
    assert (status, "rejected_records_path" in message) == ("FAILED", True), message
    result = write(workspace, settings, [payment(1, Amount="none"), STATE])
    assert result.code == 1
    assert "rejected_records_path" in result.errors[0]["message"]
    assert json.loads(paths["config"].read_text()) == settings


# -- slips ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [NAME, "target-wicked-reports"])
def test_a_closed_standard_input_is_a_sentence(workspace, config, script):
    command = workspace.command(NAME, "write", config=config(), catalog=catalog("order_payments"))
    if script != NAME:
        command = [str(BIN / script), *command[2:4]]
    done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *command], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"Standard input is closed. Pipe the messages of a source into this command." in done.stdout + done.stderr


def test_check_and_ledger_need_no_standard_input(workspace, config):
    write(workspace, config(), [payment(1)])
    for line in (workspace.command(NAME, "check", config=config()), ledger_status(workspace, config())):
        done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *line], capture_output=True, check=False)
        assert done.returncode == 0
        assert b"FAILED" not in done.stdout


def test_rows_in_doubt_given_to_replay_without_its_option_are_a_sentence(workspace, simulator, config, tmp_path):
    simulator.fault("store_then_close", "/orderpayments")
    write(workspace, config(), [payment(1), STATE])
    rejects = tmp_path / "rejected_records.jsonl"
    assert [line["outcome"] for line in dead_letters(rejects)] == ["in_doubt"]
    done = subprocess.run(
        workspace.command(NAME, "replay", config=config(), rejects=rejects),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "failed (" not in done.stdout + done.stderr
    assert "1 rows in doubt: check whether Wicked has them, and send the missing ones with --in-doubt" in done.stdout


def test_a_folder_in_place_of_a_file_is_named(workspace, simulator, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    config = {"api_key": simulator.wicked_key, "api_url": simulator.url}
    config["ledger"] = {"type": "sqlite", "path": str(folder)}
    (status,) = workspace.run(NAME, "check", config=config).of("CONNECTION_STATUS")
    assert status["message"] == f"The ledger {folder} is a folder. Name a file in it."
    program = workspace.command(NAME, "spec")[0]
    file = workspace.file("config.json", config)
    for words, named in (
        (["ledger", "status", "--config", file], f"The ledger {folder}"),
        (["ledger", "status", "--config", folder], f"The configuration file {folder}"),
        (["replay", "--config", file, "--rejects", folder], f"The dead-letter file {folder}"),
        (["preview", "--config", file, "--catalog", folder], f"The catalog file {folder}"),
    ):
        done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr.splitlines()[-1] == f"{named} is a folder. Name a file in it."
        assert done.returncode in (1, 2)
