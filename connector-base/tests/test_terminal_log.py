"""Log lines for people: when they are written, and what can never get into a terminal."""

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from source_wecantrack.base.terminal_log import TerminalLog, printable, printable_json

SCRIPT = """
import sys
from source_wecantrack.base.terminal_log import open_terminal_log
log = open_terminal_log("program", *sys.argv[1:])
print('{"type":"LOG"}', flush=True)
if log: log.write("WARN", "Something \\x1b[31m is wrong.\\nFATAL forged")
"""
COMMAND = [sys.executable, "-c", SCRIPT]
TEXT = "program WARN Something \\x1b[31m is wrong.\\nFATAL forged"


def run_on_terminal(command: list[str], *, stdout: int | None) -> tuple[str, str]:
    """Run a command with a terminal as standard error; return standard output and what the terminal shows.

    Without `stdout`, standard output is the terminal, too. The output must fit into a pipe.
    """
    master, slave = pty.openpty()
    process = subprocess.Popen(command, stdout=slave if stdout is None else stdout, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 4096):
            shown += piece
    except OSError:  # the terminal is closed
        pass
    os.close(master)
    out = process.stdout.read().decode() if process.stdout else ""
    if process.stdout:
        process.stdout.close()
    process.wait(timeout=30)
    return out, shown.decode()


def test_on_a_terminal_a_line_for_people_accompanies_the_json():
    out, shown = run_on_terminal(COMMAND, stdout=subprocess.PIPE)
    assert out == '{"type":"LOG"}\n'
    assert shown.endswith(f"{TEXT}\r\n")
    assert len(shown.splitlines()) == 1


def test_if_standard_output_is_the_terminal_too_both_are_shown():
    _, shown = run_on_terminal(COMMAND, stdout=None)
    assert shown.splitlines()[0] == '{"type":"LOG"}'
    assert shown.splitlines()[1].endswith(TEXT)


def test_the_option_turns_it_off_on_a_terminal():
    assert run_on_terminal([*COMMAND, "json"], stdout=subprocess.PIPE) == ('{"type":"LOG"}\n', "")


@pytest.mark.parametrize(("arguments", "expected"), [([], False), (["text"], True), (["json"], False)])
def test_without_a_terminal_only_the_option_turns_it_on(arguments, expected):
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout == '{"type":"LOG"}\n'
    assert done.stderr.endswith(f"{TEXT}\n") == expected
    assert bool(done.stderr) == expected


@pytest.mark.parametrize("target", ["pipe", "file"])
@pytest.mark.parametrize("arguments", [[], ["text"]])
def test_it_never_gets_into_the_json_of_both_outputs_together(arguments, target, tmp_path: Path):
    command = [sys.executable, "-c", SCRIPT, *arguments]
    if target == "pipe":
        out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout
    else:
        with (tmp_path / "both").open("w") as both:
            subprocess.run(command, stdout=both, stderr=both, check=True)
        out = (tmp_path / "both").read_text()
    assert out == '{"type":"LOG"}\n'


def test_a_closed_standard_error_is_no_failure():
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" text 2>&-', sys.executable, SCRIPT], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"type":"LOG"}\n', "")


@pytest.mark.parametrize("text", ["\x1b]0;title\x07", "a\rb", "\x9b31m", "a\u202eb", "line\u2028two", "\ud83d", "\x00"])
def test_no_control_character_reaches_a_terminal(text):
    assert printable(text).isprintable()
    assert printable(text).encode()


def test_other_text_stays_as_it_is():
    assert printable("Größe 5 €, 東京, 👍") == "Größe 5 €, 東京, 👍"


def test_messages_for_people_are_shown_and_others_are_not():
    stream = io.StringIO()
    log = TerminalLog(stream, "program")
    log.show({"type": "LOG", "log": {"level": "INFO", "message": "read"}})
    log.show({"type": "TRACE", "trace": {"type": "ERROR", "error": {"message": "failed"}}})
    log.show({"type": "TRACE", "trace": {"type": "ESTIMATE", "estimate": {}}})
    log.show({"type": "CONNECTION_STATUS", "connectionStatus": {"status": "FAILED", "message": "wrong key"}})
    log.show({"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}})
    log.show({"type": "STATE", "state": {}})
    assert [line.split(" program ")[1] for line in stream.getvalue().splitlines()] == [
        "INFO read",
        "ERROR failed",
        "ERROR wrong key",
        "INFO The connection works.",
    ]


def test_a_terminal_that_is_gone_does_not_fail_the_run():
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(5, "Input/output error")

    TerminalLog(Gone(), "program").write("INFO", "text")


def test_json_keeps_its_value_and_controls_no_terminal():
    value = {"id": "a\x7f\x9b31m\u202e", "name": "Zoë"}
    shown = printable_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(shown) == value
    assert shown == '{"id": "a\\u007f\\u009b31m\\u202e", "name": "Zoë"}'
