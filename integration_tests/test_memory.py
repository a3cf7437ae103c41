"""Memory stays flat: 200,000 records need no more than 2,000."""

from __future__ import annotations

import pytest

from benchmarks.cost import measure
from benchmarks.run import DAYS, ROWS, Bench
from benchmarks.served import served

FEW_PAGES, MANY_PAGES = 2, 200
MOST_MB = 30


@pytest.fixture(scope="module")
def benches(tmp_path_factory):
    few_pages, many_pages = served(ROWS, FEW_PAGES, FEW_PAGES), served(ROWS, MANY_PAGES, DAYS)
    with few_pages as few, many_pages as many:
        yield [
            Bench(tmp_path_factory.mktemp("memory"), url, pages)
            for url, pages in ((few, FEW_PAGES), (many, MANY_PAGES))
        ]


def test_the_source_reads_200_000_records_in_the_memory_of_2_000(benches):
    few, many = (measure(bench.source).memory for bench in benches)
    assert many - few < MOST_MB


def test_the_destination_writes_200_000_orders_in_the_memory_of_2_000(benches):
    few, many = (measure(bench.destination, bench.orders()).memory for bench in benches)
    assert many - few < MOST_MB


def test_the_destination_writes_200_000_commissions_in_the_memory_of_2_000(benches):
    few, many = (measure(bench.affiliate, bench.transactions()).memory for bench in benches)
    assert many - few < MOST_MB
