"""A signal ends a run only where nothing is half done."""

import signal

import pytest
from builders.destination import ACCEPTED, ScriptedClient, make_row
from builders.messages import record, state, states
from destination_wicked_reports.delivery.dispatcher import Dispatcher
from destination_wicked_reports.delivery.writer import Writer
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.signals import SIGNALS, SignalGuard


@pytest.fixture
def listening():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    SIGNALS.listen()
    yield
    for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("listening")
def test_an_interrupt_that_is_to_be_ignored_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    SIGNALS.listen()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, signal.default_int_handler)
    SIGNALS.listen()
    assert signal.getsignal(signal.SIGINT) is SIGNALS


def test_a_signal_raises_at_once_where_nothing_is_deferred():
    with pytest.raises(SystemExit) as ended:
        SignalGuard()(signal.SIGTERM, None)
    assert ended.value.code == 143
    with pytest.raises(KeyboardInterrupt):
        SignalGuard()(signal.SIGINT, None)


def test_while_deferred_it_waits_for_a_check_and_a_second_one_does_not():
    stop, reached = SignalGuard(), []

    def work():
        with stop.deferred():
            stop(signal.SIGTERM, None)
            reached.append("after the signal")
            stop.check()
            reached.append("never")

    def hurry():
        with stop.deferred():
            stop(signal.SIGTERM, None)
            stop(signal.SIGINT, None)

    with pytest.raises(SystemExit):
        work()
    with pytest.raises(KeyboardInterrupt):
        hurry()
    assert reached == ["after the signal"]
    stop.check()  # nothing is left of them


def test_what_was_noted_is_raised_at_the_end_at_the_latest_and_at_once_in_a_harmless_wait():
    stop = SignalGuard()
    with pytest.raises(SystemExit), stop.deferred():
        stop(signal.SIGTERM, None)
    with pytest.raises(SystemExit), stop.deferred(), stop.at_once():
        stop(signal.SIGTERM, None)


class Slow(Normalizer):
    """Makes a row of each record; the signal comes while it works."""

    streams = frozenset({"orders"})

    def __init__(self, at):
        self._at = at

    def normalize(self, records, orders):
        for each in records:
            if each.data["n"] == self._at:
                signal.raise_signal(signal.SIGTERM)
            yield make_row("orders", each.data["n"], sequence=each.sequence)


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize("at", [1, 199, 201, 999, 1000, 1001])
def test_sigterm_anywhere_among_the_rows_lets_no_state_leave_before_its_rows(ledger, letters, at):
    client, out = ScriptedClient(lambda path, rows: ACCEPTED), []
    delivery = Dispatcher(client, ledger, letters, batch_rows=1000, in_flight=2)
    writer = Writer(Slow(at), delivery, letters, out.append, {("", "orders"): "orders"}, batch_rows=1000)
    lines = [line for n in range(1, 1201) for line in ([record(n), state(n)] if n % 100 == 0 else [record(n)])]
    with pytest.raises(SystemExit):
        writer.write(lines[start : start + 50] for start in range(0, len(lines), 50))
    delivery.close()
    sent = {int(key) for _, keys in client.posts for key in keys}
    assert all(set(range(1, last + 1)) <= sent for last in states(out))
    assert ledger.unfinished() == []
