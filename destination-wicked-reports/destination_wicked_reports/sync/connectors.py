"""The programs that a sync runs: command lines, private files for their configuration, check and discover."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.sync.exit_codes import MISCONFIGURED, STOPPED, CommandError, refusal
from destination_wicked_reports.sync.settings import Source

DESTINATION, RECONCILE = "destination-wicked-reports", "wicked-reports-reconcile"
#: Where an image finds the files.
_MOUNT = "/sync"
_PREFIX = "wicked-reports-sync-"
#: A file with the id of a container that was started.
_CONTAINER = ".container"
#: A connector that checks its key may wait for a rate limit first.
_ANSWER_SECONDS = 600


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Return a new folder that only this user can read, for files with secrets. It is removed at the end.

    So are the containers whose ids are in it, as killing `docker run` or closing its output does not end them.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = runtime if runtime and os.access(runtime, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=base) as name:
        folder = Path(name)
        try:
            yield folder
        finally:
            _remove_containers(folder)


def remove_left(folder: Path) -> None:
    """Remove a private folder and its containers, if a command that was killed has left them."""
    if folder.name.startswith(_PREFIX) and folder.is_dir():
        _remove_containers(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_containers(folder: Path) -> None:
    ids = [path.read_text(encoding="ascii").strip() for path in folder.glob(f"*{_CONTAINER}")]
    containers = [each for each in ids if each]
    engine = shutil.which("docker")
    if containers and engine:
        # fails for a container that has ended, which removes itself
        subprocess.run([engine, "rm", "--force", *containers], capture_output=True, check=False)  # noqa: S603


@dataclass(slots=True, frozen=True)
class Connector:
    """A connector as a command line; files are written to `folder`. `image` follows the options of `docker run`."""

    name: str
    command: list[str]
    folder: Path
    #: The folder as the connector sees it.
    seen: str
    image: str = ""

    def line(self, command: str, **files: Any) -> list[str]:
        """Return the command line of one Airbyte command; write each file as JSON first."""
        line = [*self.command]
        if self.image:
            line += ["--cidfile", str(self.folder / f"{self.name}.{command}{_CONTAINER}"), self.image]
        line.append(command)
        for option, content in files.items():
            line += [f"--{option}", self.file(option, content)]
        return line

    def file(self, option: str, content: Any) -> str:
        """Write a file as JSON, readable by this user only, and return its path as the connector sees it."""
        name = f"{self.name}.{option}.json"
        try:
            descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(orjson.dumps(content))
        except OSError as error:
            raise refusal(f"The folder for private files, {self.folder},", error) from None
        return f"{self.seen}/{name}"

    def check(self, config: Mapping[str, Any]) -> str:
        """Run `check` and return its message. Raises CommandError if it failed."""
        messages = self._answers("check", config=config)
        status = next((each["connectionStatus"] for each in messages if each.get("type") == "CONNECTION_STATUS"), None)
        if status is None:
            raise _failure(self.name, messages, "check gave no answer")
        if status["status"] != "SUCCEEDED":
            raise CommandError(f"{self.name}: {status.get('message') or 'the check failed'}", _code(messages))
        return str(status.get("message") or "the connection works")

    def discover(self, config: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Run `discover` and return the streams. Raises CommandError if it failed."""
        messages = self._answers("discover", config=config)
        catalog = next((each["catalog"] for each in messages if each.get("type") == "CATALOG"), None)
        if catalog is None:
            raise _failure(self.name, messages, "discover gave no catalog")
        return list(catalog["streams"])

    def _answers(self, command: str, **files: Any) -> list[dict[str, Any]]:
        try:
            done = subprocess.run(  # noqa: S603 - the program that sync.yaml names
                self.line(command, **files),
                capture_output=True,
                check=False,
                timeout=_ANSWER_SECONDS,
                stdin=subprocess.DEVNULL,
            )
        except OSError as error:
            raise CommandError(f"{self.name} could not be started ({error.strerror}).", MISCONFIGURED) from None
        except subprocess.TimeoutExpired:
            raise CommandError(f"{self.name}: {command} gave no answer for ten minutes.", STOPPED) from None
        messages = list(read_messages(done.stdout))
        if not messages:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise CommandError(f"{self.name}: {command} ended with code {done.returncode}. {' '.join(last)}", STOPPED)
        return messages


@contextlib.contextmanager
def passing_on_signals(processes: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Leave it to these processes to end at a signal. Ctrl-C reaches them from the terminal, SIGTERM from here."""

    def pass_on(number: int, _frame: object) -> None:
        for process in processes:
            process.send_signal(number)

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on)}
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_to_end(line: list[str]) -> int:
    """Run a program on this terminal and return its exit code."""
    processes: list[subprocess.Popen[bytes]] = []
    with passing_on_signals(processes):
        processes.append(subprocess.Popen(line))  # noqa: S603 - this installation's own program
        return processes[0].wait()


def read_messages(output: bytes) -> Iterator[dict[str, Any]]:
    """Yield the Airbyte messages of an output."""
    for line in output.splitlines():
        message = read_message(line)
        if message is not None:
            yield message


def read_message(line: bytes) -> dict[str, Any] | None:
    """Return the Airbyte message of a line, or None if it is none."""
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return message if isinstance(message, dict) and isinstance(message.get("type"), str) else None


def error_of(message: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the text and the failure type of a TRACE message with an error."""
    error = (message.get("trace") or {}).get("error")
    return (str(error.get("message") or "unknown error"), str(error.get("failure_type") or "")) if error else None


def _failure(name: str, messages: list[dict[str, Any]], what: str) -> CommandError:
    errors = [found for each in messages if (found := error_of(each))]
    return CommandError(f"{name}: {errors[-1][0] if errors else what}", _code(messages) if errors else STOPPED)


def _code(messages: list[dict[str, Any]]) -> int:
    """Return the exit code for a failed answer: wrong configuration, unless the connector says that it is not."""
    types = {found[1] for each in messages if (found := error_of(each))}
    return MISCONFIGURED if not types or "config_error" in types else STOPPED


def source_connector(source: Source, folder: Path) -> Connector:
    """Return the program or the container of a source. Raises ConfigurationError if it is not installed."""
    if source.image:
        engine = shutil.which("docker")
        if engine is None:
            raise ConfigurationError(f"The source {source.label} is an image, but `docker` is not installed.")
        mount = ["--volume", f"{folder}:{_MOUNT}:ro", "--user", f"{os.getuid()}:{os.getgid()}"]
        # `--init`, because process 1 of a container ignores SIGTERM unless it handles it
        command = [engine, "run", "--rm", "--init", "--interactive", *mount, *source.docker_options]
        return Connector(source.label, command, folder, _MOUNT, source.image)
    return Connector(source.label, [find_program(source.program)], folder, str(folder))


def destination_connector(folder: Path) -> Connector:
    """Return the destination of this installation."""
    return Connector(DESTINATION, [find_program(DESTINATION)], folder, str(folder))


def find_program(program: str) -> str:
    """Return the path of a program: next to this one, else on the PATH."""
    beside = Path(sysconfig.get_path("scripts")) / program
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(program)
    if found is None:
        raise ConfigurationError(
            f"The program {program} is not installed: install it (such as `pip install airbyte-{program}`), or correct "
            "`program` in sync.yaml."
        )
    return found
