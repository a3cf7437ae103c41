"""A day of any size is read in flat memory, gzipped or not, wherever blocks cut rows."""

import gzip
import io
import json
import random
import subprocess
import sys

import pytest
from source_sovrn import streaming_json
from source_sovrn.base.errors import BadResponseError
from source_sovrn.streaming_json import read_rows

from .conftest import NOON, SUBJECT, TRANSACTIONS

ROWS = [
    {
        "revenueId": str(n),
        "n": n,
        "text": 'a"\\}],{\u00e9\U0001f600' * (n % 7),
        "list": [n, [], {}],
        "no": None,
        "yes": True,
    }
    for n in range(200)
]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64, 1000])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("indent", [None, 1])
def test_rows_come_whole_wherever_a_block_ends(block, packed, indent, monkeypatch):
    monkeypatch.setattr(streaming_json, "_BLOCK", block)
    whole = json.dumps({"before": {"x": [1]}, "transactions": ROWS[:40], "after": 12}, indent=indent).encode()
    assert list(read_rows(io.BytesIO(gzip.compress(whole) if packed else whole), "transactions")) == ROWS[:40]


def test_every_truncation_is_detected(monkeypatch):
    monkeypatch.setattr(streaming_json, "_BLOCK", 64)
    whole = json.dumps({"transactions": ROWS[:3]}).encode()
    for cut in range(len(whole)):
        with pytest.raises(BadResponseError):
            list(read_rows(io.BytesIO(whole[:cut]), "transactions"))


def test_a_changed_byte_never_ends_in_anything_but_rows_or_a_bad_response():
    whole = json.dumps({"transactions": ROWS[:10]}).encode()
    chance = random.Random(7)
    for _ in range(2000):
        spoiled = bytearray(whole)
        spoiled[chance.randrange(len(whole))] = chance.randrange(256)
        try:
            list(read_rows(io.BytesIO(bytes(spoiled)), "transactions"))
        except BadResponseError:
            continue


def test_a_number_at_the_end_of_a_block_goes_on_in_the_next(monkeypatch):
    monkeypatch.setattr(streaming_json, "_BLOCK", 5)
    assert list(read_rows(io.BytesIO(b'{"a":123456789012,"transactions":[{"b":1.25}]}'), "transactions")) == [
        {"b": "1.25"}
    ]


def test_a_value_without_end_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(streaming_json, "_MAX_VALUE_CHARS", 1 << 16)
    body = b'{"transactions":[{"a":"' + b"x" * (1 << 20) + b'"}]}'
    with pytest.raises(BadResponseError):
        list(read_rows(io.BytesIO(body), "transactions"))


def test_the_file_of_a_body_is_gone_when_the_rows_were_read(sim, config, read, monkeypatch, tmp_path):
    monkeypatch.setattr(streaming_json.tempfile, "tempdir", str(tmp_path))
    made = []
    real = streaming_json.tempfile.TemporaryFile
    monkeypatch.setattr(streaming_json.tempfile, "TemporaryFile", lambda: made.append(real()) or made[-1])
    sim.fault("half_body", TRANSACTIONS, times=1)
    sim.sovrn.upsert([{"revenueId": "1"}], at="2026-01-01" + NOON)
    assert read(config).error is None
    assert len(made) == 4
    assert all(file.closed for file in made)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_says_what_to_do(sim, config, read, monkeypatch):
    class Full(io.BytesIO):
        def write(self, _piece):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(streaming_json.tempfile, "TemporaryFile", Full)
    outcome = read(config)
    assert outcome.error.failure_type.value == "transient_error"
    assert "(No space left on device). Free disk space there" in outcome.error.message


#: VmHWM is per program; ru_maxrss would start with the memory of the parent process, pytest.
MEASURED = """
import atexit
atexit.register(lambda: print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0], file=open(R, "w")))
"""


@pytest.mark.parametrize("shape", ["nested"])
def test_a_day_of_40_000_transactions_costs_little_more_memory_than_an_empty_one(shape, sim, config, tmp_path):
    sim.sovrn.big_day("2026-01-02", 40_000)
    sim.sovrn.pace(0)
    sim.switch("sovrn.shape", shape)
    peak = {}
    for day in ("2026-01-01", "2026-01-02"):
        result = tmp_path / day
        one_day = {**config, "start_date": day, "end_date": day, "request_interval_seconds": 0}
        arguments = SUBJECT.command_line("read", one_day, tmp_path, prelude=f"R = {str(result)!r}{MEASURED}")
        done = subprocess.run([sys.executable, *arguments[1:]], stdout=subprocess.PIPE, timeout=120, check=True)
        peak[day] = int(result.read_text()) / 1024
        count = done.stdout.count(b'"type":"RECORD"')
    assert count == 40_000
    assert peak["2026-01-02"] < 150
    assert peak["2026-01-02"] - peak["2026-01-01"] < 40
