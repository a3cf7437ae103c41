"""Signals are deferred until a safe point."""

import signal

import pytest
from builders.destination import ACCEPTED, ScriptedClient, make_row
from builders.messages import record, state, states
from destination_wicked_reports.delivery.dispatcher import Dispatcher
from destination_wicked_reports.delivery.tally import Tally
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
def test_an_ignored_interrupt_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    SIGNALS.listen()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, signal.default_int_handler)
    SIGNALS.listen()
    assert signal.getsignal(signal.SIGINT) is SIGNALS


def test_a_signal_raises_immediately_if_not_deferred():
    with pytest.raises(SystemExit) as ended:
        SignalGuard()(signal.SIGTERM, None)
    assert ended.value.code == 143
    with pytest.raises(KeyboardInterrupt):
        SignalGuard()(signal.SIGINT, None)


def test_a_deferred_signal_waits_for_a_check_and_a_second_one_does_not():
    guard, reached = SignalGuard(), []

    def work():
        with guard.deferred():
            guard(signal.SIGTERM, None)
            reached.append("after the signal")
            guard.check()
            reached.append("never")

    def hurry():
        with guard.deferred():
            guard(signal.SIGTERM, None)
            guard(signal.SIGINT, None)

    with pytest.raises(SystemExit):
        work()
    with pytest.raises(KeyboardInterrupt):
        hurry()
    assert reached == ["after the signal"]
    guard.check()  # nothing is recorded any more


def test_a_deferred_signal_is_raised_at_the_end_of_the_block_or_in_an_interruptible_wait():
    guard = SignalGuard()
    with pytest.raises(SystemExit), guard.deferred():
        guard(signal.SIGTERM, None)
    with pytest.raises(SystemExit), guard.deferred(), guard.immediate():
        guard(signal.SIGTERM, None)


class Signaling(Normalizer):
    """Makes a row of each record, and raises SIGTERM at one of them."""

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
def test_sigterm_anywhere_releases_no_state_before_its_rows(ledger, dead_letters, at):
    client, out = ScriptedClient(lambda path, rows: ACCEPTED), []
    tally = Tally(dead_letters)
    dispatcher = Dispatcher(client, ledger, tally, batch_rows=1000, in_flight=2)
    writer = Writer(Signaling(at), dispatcher, tally, out.append, {("", "orders"): "orders"}, batch_rows=1000)
    lines = [line for n in range(1, 1201) for line in ([record(n), state(n)] if n % 100 == 0 else [record(n)])]
    with pytest.raises(SystemExit):
        writer.write(lines[start : start + 50] for start in range(0, len(lines), 50))
    dispatcher.close()
    sent = {int(key) for _, keys in client.posts for key in keys}
    assert all(set(range(1, last + 1)) <= sent for last in states(out))
    assert ledger.unfinished() == []
