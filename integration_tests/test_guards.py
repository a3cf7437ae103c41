"""Settings that must not change once rows were sent: refused, accepted by name, changed and changed back."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import pytest

from integration_tests.support.postgres import PASSWORD
from integration_tests.test_destination import NAME, check, record, state, write

TRANSACTIONS = ("transactions",)
SHOP = ("orders",)


@pytest.fixture(params=["sqlite", "postgres"])
def config(request, simulator, workspace, tmp_path):
    """Make configurations that share one ledger."""
    ledger = {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")}
    if request.param == "postgres":
        workspace.secrets.append(PASSWORD)
        ledger = {"type": "postgres", "url": request.getfixturevalue("server").database()}

    def make(mapping, **extra):
        return {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "ledger": ledger,
            "rejected_records_path": str(tmp_path / "rejected.jsonl"),
            "mapping": mapping,
            **extra,
        }

    return make


def wecantrack(**settings):
    return {"type": "wecantrack", "without_contact": "synthetic", **settings}


def sovrn(**settings):
    return {"type": "sovrn", "without_contact": "synthetic", **settings}


def sale(number: int = 1, **changes):
    """A record of wecantrack's transactions, in dollars."""
    fields = {
        "transaction_id": f"T{number}",
        "user_network_account_id": 7,
        "reference": f"click{number}",
        "commission_amount": "10.00",
        "sale_amount": "99.00",
        "commission_amount_euro": "9.00",
        "sale_amount_euro": "90.00",
        "currency_id": "USD",
        "status": "approved",
        "order_date": f"2026-03-01 10:00:{number % 60:02}",
        "last_wct_update": "2026-03-02 10:00:00",
    }
    return record("transactions", fields | changes)


def commission(number: int = 1, **changes):
    """A record of Sovrn's transactions."""
    fields = {
        "account_id": "1234",
        "revenue_id": f"R{number}",
        "commission_id": f"C{number}",
        "commission_date": "2026-03-01",
        "update_date": "2026-03-02",
        "order_value": "99.00",
        "publisher_net_revenue": "10.00",
        "program_type": "cpa",
        "click_id": f"k{number}",
        "merchant_group_id": "567",
    }
    return record("transactions", fields | changes)


def click(number: int):
    ids = dict.fromkeys(("revenue_id", "commission_id", "click_id"), f"K{number}")
    return commission(number, **ids, publisher_net_revenue="5.00", order_value="0", program_type="cpc")


def shop_order(number: int = 100, **changes):
    """A paid order of source-bigcommerce, in euros, of a shop that counts in dollars."""
    fields = {
        "id": number,
        "customer_id": 7,
        "date_created": "Sun, 01 Mar 2026 10:00:00 +0000",
        "date_modified": "2026-03-02T10:00:00+00:00",
        "status_id": 11,
        "status": "Awaiting Fulfillment",
        "payment_status": "captured",
        "total_inc_tax": "120.0000",
        "total_ex_tax": "100.0000",
        "refunded_amount": "0.0000",
        "currency_code": "EUR",
        "default_currency_code": "EUR",
        "store_default_currency_code": "USD",
        "currency_exchange_rate": "0.8",
        "store_default_to_transactional_exchange_rate": "0.8",
        "billing_address": {"email": "buyer@example.com"},
    }
    return record("orders", fields | changes)


def nets(simulator):
    """Return the net by orders and by payments of everything that Wicked has, by currency; what is zero is left out."""
    sums: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for held in simulator.held(orders=True).values():
        sums[held["currency"]][0] += Decimal(str(held["net_by_orders"]))
        sums[held["currency"]][1] += Decimal(str(held["net_by_payments"]))
    return {currency: tuple(map(str, both)) for currency, both in sums.items() if any(both)}


def refusal(result):
    assert result.code == 1
    assert result.states == []
    assert result.errors[-1]["failure_type"] == "config_error"
    return result.errors[-1]["message"]


#: mapping, setting, its two values, the records, their streams, and the nets with each value
GUARDED = {
    "wecantrack revenue_basis": (
        wecantrack,
        "revenue_basis",
        ("commission", "sale_amount"),
        [sale()],
        TRANSACTIONS,
        ({"USD": "10.00"}, {"USD": "99.00"}),
    ),
    "wecantrack currency": (
        wecantrack,
        "currency",
        ("transaction", "euro"),
        [sale()],
        TRANSACTIONS,
        ({"USD": "10.00"}, {"EUR": "9.00"}),
    ),
    "wecantrack recognize": (
        wecantrack,
        "recognize",
        ("approved", "pending"),
        [sale(), sale(2, status="pending")],
        TRANSACTIONS,
        ({"USD": "10.00"}, {"USD": "20.00"}),
    ),
    "sovrn revenue_basis": (
        sovrn,
        "revenue_basis",
        ("sale_amount", "commission"),
        [commission()],
        TRANSACTIONS,
        ({"USD": "99.00"}, {"USD": "10.00"}),
    ),
    "sovrn order_currency": (
        sovrn,
        "order_currency",
        ("USD", "GBP"),
        [commission()],
        TRANSACTIONS,
        ({"USD": "10.00"}, {"GBP": "10.00"}),
    ),
    "sovrn cpc": (
        sovrn,
        "cpc",
        ("rollup", "skip"),
        [commission(), click(2), click(3)],
        TRANSACTIONS,
        ({"USD": "20.00"}, {"USD": "10.00"}),
    ),
    "bigcommerce order_total": (
        lambda **settings: {"type": "bigcommerce", **settings},
        "order_total",
        ("total_inc_tax", "total_ex_tax"),
        [shop_order()],
        SHOP,
        ({"EUR": "120.00"}, {"EUR": "100.00"}),
    ),
    "bigcommerce currency": (
        lambda **settings: {"type": "bigcommerce", **settings},
        "currency",
        ("order", "store"),
        [shop_order()],
        SHOP,
        ({"EUR": "120.00"}, {"USD": "150.00"}),
    ),
}
#: A commission that was sent while it was pending stays sent, so nothing is taken back.
STAYS_SENT = {"wecantrack recognize": {"USD": "20.00"}}


@pytest.mark.parametrize("name", GUARDED)
def test_a_change_is_refused_then_accepted_by_name_and_changed_back(workspace, simulator, config, name):
    mapping, setting, (old, new), messages, streams, (at_first, changed) = GUARDED[name]
    messages = [*messages, state(1, streams[0])]

    def run(value, accept=""):
        chosen = config(mapping(**{setting: value}), accept_change=accept)
        return write(workspace, chosen, messages, streams=streams)

    def expect(expected):
        assert nets(simulator) == {currency: (net, net) for currency, net in expected.items()}

    assert run(old).code == 0
    expect(at_first)
    there, back = f"{setting}: {old} -> {new}", f"{setting}: {new} -> {old}"
    requests = simulator.stats()["requests"]["total"]
    assert f'set "accept_change" to "{there}"' in refusal(run(new))
    assert f'set "accept_change" to "{there}"' in refusal(run(new, back)), "a change of another direction"
    assert f'set "accept_change" to "{there}"' in refusal(run(new, "without_contact: skip -> synthetic"))
    assert check(workspace, config(mapping(**{setting: new})))[0] == "FAILED"
    posts = [one for one in simulator.requests(since=requests) if one["method"] == "POST"]
    assert posts == []
    assert check(workspace, config(mapping(**{setting: new}), accept_change=there))[0] == "SUCCEEDED"
    assert run(new, there).code == 0
    expect(changed)
    held = simulator.held(orders=True)
    assert run(new, there).code == 0, "an accepted change that was made already does no harm"
    assert run(new).code == 0
    assert simulator.held(orders=True) == held
    assert f'set "accept_change" to "{back}"' in refusal(run(old, there))
    assert run(old, back).code == 0
    expect(STAYS_SENT.get(name, at_first))


def test_a_setting_may_change_as_long_as_nothing_was_sent(workspace, simulator, config):
    declined = [sale(status="declined"), state(1, "transactions")]
    assert write(workspace, config(wecantrack()), declined, streams=TRANSACTIONS).code == 0
    assert write(workspace, config(wecantrack(currency="euro")), [sale()], streams=TRANSACTIONS).code == 0
    assert nets(simulator) == {"EUR": ("9.00", "9.00")}


def test_each_source_system_has_its_own_settings(workspace, simulator, config):
    first, second = wecantrack(), wecantrack(source_system="other", currency="euro")
    other = sale(2, user_network_account_id=8)
    for _ in range(2):
        assert write(workspace, config(first), [sale()], streams=TRANSACTIONS).code == 0
        assert write(workspace, config(second), [other], streams=TRANSACTIONS).code == 0
    assert nets(simulator) == {"USD": ("10.00", "10.00"), "EUR": ("9.00", "9.00")}


def test_two_changes_at_once_are_refused_although_one_is_accepted(workspace, simulator, config):
    assert write(workspace, config(wecantrack()), [sale()], streams=TRANSACTIONS).code == 0
    both = wecantrack(currency="euro", revenue_basis="sale_amount")
    for accept in ("currency: transaction -> euro", "revenue_basis: commission -> sale_amount"):
        result = write(workspace, config(both, accept_change=accept), [sale()], streams=TRANSACTIONS)
        assert "was" not in refusal(result)[:3]
    assert "Change one setting at a time" in refusal(write(workspace, config(both), [sale()], streams=TRANSACTIONS))
    assert nets(simulator) == {"USD": ("10.00", "10.00")}


@pytest.mark.parametrize(
    ("accept", "words"),
    [
        ("nonsense", 'must have the form "setting: old -> new"'),
        ("cpc: skip -> rollup", "it can name source_system, revenue_basis, recognize, currency: correct"),
        ("currency: transaction -> euro", "the mapping has currency `transaction` and nothing changed"),
    ],
)
def test_an_accepted_change_that_cannot_be_is_refused(workspace, config, accept, words):
    chosen = config(wecantrack(), accept_change=accept)
    assert words in refusal(write(workspace, chosen, [sale()], streams=TRANSACTIONS))
    status, message = check(workspace, chosen)
    assert (status, words in message) == ("FAILED", True)


def test_changed_contact_settings_are_announced_once(workspace, config):
    words = "The contact settings have changed since the last run"
    rules = [{"field": "reference", "pattern": "^(?P<contact_id>click.*)$"}]
    assert write(workspace, config(wecantrack()), [sale()], streams=TRANSACTIONS).code == 0
    changed = config(wecantrack(contact_rules=rules))
    assert any(words in line for line in workspace.run(NAME, "check", config=changed).logs)
    said = [write(workspace, changed, [sale()], streams=TRANSACTIONS) for _ in range(2)]
    assert [any(words in line for line in result.logs) for result in said] == [True, False]
    assert all(result.code == 0 for result in said)
