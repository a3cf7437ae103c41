"""Shows a run: on a terminal, lines above a progress line that moves; elsewhere plain lines, fit for cron."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from destination_wicked_reports.base.terminal_log import printable
from destination_wicked_reports.sync.progress import Progress

#: Seconds between two lines of progress without a terminal.
LINE_SECONDS = 30.0
#: Columns for a line without a terminal.
_PLAIN_WIDTH = 100
#: Columns of the bar, and of the narrowest terminal that has room for it.
_BAR, _WITH_BAR = 24, 70


class Display:
    """The terminal, or a stream of lines. Methods can be called from the threads of sources that run side by side."""

    def __init__(self, stream: Any = None) -> None:
        stream = stream or sys.stdout
        self.interactive = bool(stream.isatty())
        self._console = Console(
            file=stream, highlight=False, markup=False, emoji=False, width=None if self.interactive else _PLAIN_WIDTH
        )
        self._lock = threading.Lock()
        self._progress: list[Progress] = []
        self._live: Live | None = None
        self._next_line = 0.0

    def __enter__(self) -> Display:
        """Show the progress until the block ends."""
        if self.interactive:
            self._live = Live(self, console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def add(self, progress: Progress) -> None:
        """Show one more source."""
        with self._lock:
            self._progress.append(progress)
            self._next_line = time.monotonic() + LINE_SECONDS

    def remove(self, progress: Progress) -> None:
        """Show one source less."""
        with self._lock:
            self._progress.remove(progress)

    def tick(self) -> None:
        """Print a line of progress if it is time for one; a terminal refreshes by itself."""
        if self.interactive or time.monotonic() < self._next_line:
            return
        self._next_line = time.monotonic() + LINE_SECONDS
        for progress in list(self._progress):
            self.line(", ".join(progress.parts()))

    @property
    def width(self) -> int:
        """The number of columns."""
        return self._console.width

    def line(self, text: str, style: str = "") -> None:
        """Print one line. A terminal wraps it between words; elsewhere it stays one line."""
        with self._lock:
            self._console.print(Text(printable(text), style=style), soft_wrap=not self.interactive)

    def table(self, table: Table) -> None:
        """Print a table."""
        with self._lock:
            if self.interactive:
                self._console.print(table)
                return
            with self._console.capture() as capture:
                self._console.print(table)
            lines = [line.rstrip() for line in capture.get().splitlines()]  # a table pads its cells
            self._console.print(Text("\n".join(lines)), soft_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Return the progress of every source, for the width of the terminal."""
        for progress in list(self._progress):
            yield from progress_lines(progress, options.max_width)


def progress_lines(progress: Progress, width: int) -> list[Text]:
    """Return the progress of one source in as many lines as a terminal of this width needs."""
    lines: list[str] = []
    for part in progress.parts():
        part = printable(part)
        if lines and len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += " · " + part
        else:
            lines.append(part[:width])
    days = progress.days
    if days and width >= _WITH_BAR:
        done = round(_BAR * days[0] / days[1])
        lines.insert(0, "█" * done + "░" * (_BAR - done) + f" {100 * days[0] // days[1]} %")
    return [Text(line, no_wrap=True, overflow="crop") for line in lines]


def new_table(*headings: str, right: Sequence[int] = (), width: int | None = None) -> Table:
    """Return an empty table without a frame, which reads well in a mail, too."""
    table = Table(*headings, box=None, pad_edge=False, show_header=any(headings), header_style="bold", width=width)
    for number in right:
        table.columns[number].justify = "right"
    return table
