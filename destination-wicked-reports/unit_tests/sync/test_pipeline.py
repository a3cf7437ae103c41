"""Two joined processes: a fast source waits for a slow destination, and neither waits for one that has ended."""

import os
import signal
import sys
import time

import pytest
from destination_wicked_reports.sync.pipeline import DESTINATION, SOURCE, Pipeline
from destination_wicked_reports.sync.results import causes

#: Writes records until nobody takes more for half a second, writes down how many bytes that were, and ends.
EAGER = """
import os, select, sys
os.set_blocking(1, False)
line, written = b'{"type":"RECORD","record":{"data":"%s"}}\\n' % (b"x" * 2000), 0
while written < 200 << 20 and select.select([], [1], [], 0.5)[1]:
    written += os.write(1, line)
open(sys.argv[1], "w").write(str(written))
"""
#: Reads nothing until the source has ended.
LATE = """
import pathlib, sys, time
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
sys.stdin.buffer.read()
"""
SILENT = "import time; time.sleep(600)"
WAITING = "import os, time; os.write(1, b'{}\\n'); time.sleep(600)"
REFUSING = "import sys; sys.stderr.write('the disk is full'); sys.exit(1)"
KILLED = "import os; os.kill(os.getpid(), 9)"
PATIENT = "import sys; sys.stdin.buffer.read()"


@pytest.fixture
def join(tmp_path):
    started = []

    def join(source, destination, *arguments):
        lines = [[sys.executable, "-S", "-c", program, *map(str, arguments)] for program in (source, destination)]
        started.append(Pipeline(*lines, lock=lock))
        return started[-1]

    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield join
    for pipeline in started:
        pipeline.close()
    os.close(lock)


def end(pipeline):
    """Run to the end; return the seconds."""
    begun = time.monotonic()
    list(pipeline.events(0.2))
    return time.monotonic() - begun


def test_a_fast_source_waits_for_a_destination_that_does_not_read(join, tmp_path):
    counted = tmp_path / "written"
    pipeline = join(EAGER, LATE, counted)
    end(pipeline)
    assert pipeline.codes == {SOURCE: 0, DESTINATION: 0}
    assert 0 < int(counted.read_text()) < 1 << 20


@pytest.mark.parametrize("source", [SILENT, WAITING])
@pytest.mark.parametrize(("destination", "words"), [(REFUSING, "the disk is full"), (KILLED, "killed by SIGKILL")])
def test_a_source_that_waits_is_ended_if_its_destination_ends(join, source, destination, words):
    pipeline = join(source, destination)
    assert end(pipeline) < 60
    assert pipeline.codes[SOURCE] == -signal.SIGTERM
    assert causes(pipeline) == [DESTINATION]
    assert words in pipeline.last_words(DESTINATION)


def test_a_source_that_is_killed_is_the_cause_and_not_what_the_destination_makes_of_it(join):
    pipeline = join(KILLED, f"{PATIENT}; sys.exit(1)")
    end(pipeline)
    assert causes(pipeline) == [SOURCE]
    assert pipeline.last_words(SOURCE) == "it was killed by SIGKILL, perhaps because memory ran out."


def test_a_run_that_ends_by_itself_ends_no_process(join):
    for _ in range(5):
        pipeline = join("print('{}')", PATIENT)
        end(pipeline)
        assert (pipeline.codes, pipeline.cut_off, causes(pipeline)) == ({SOURCE: 0, DESTINATION: 0}, False, [])
