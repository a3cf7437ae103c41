"""wecantrack: money that comes back, as a row of its own or as a correction of the sale's own row."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest
from builders.affiliate import SALE_KEY, Book, bodies, feed, finish, make_normalizer, payments, transaction
from builders.wicked import Wicked
from destination_wicked_reports.mappings.affiliate.base import NEVER_EARNED, NO_CONTACT, NOT_APPROVED, OUTDATED
from destination_wicked_reports.mappings.affiliate.returns import EXCESS, UNMATCHED
from destination_wicked_reports.model import Reject, Row, Skip, Unattributed

CHANGED = "2024-07-01 09:30:00"


def sale(amount: str = "10.00", number: int = 1, **changes: Any) -> dict[str, Any]:
    return transaction(
        **{
            "transaction_id": f"T{number}",
            "commission_amount": amount,
            "status": "approved",
            "validation_date": "2024-06-20 08:00:00",
            **changes,
        }
    )


def returned(amount: str = "-10.00", number: int = 9, **changes: Any) -> dict[str, Any]:
    return sale(amount, **{"number": number, "last_wct_update": CHANGED, **changes})


class Run:
    """Runs of one connection, each with a normalizer of its own."""

    def __init__(self, **rules: Any) -> None:
        self.rules, self.book, self.wicked = rules, Book(), Wicked()

    def __call__(self, *records: dict[str, Any]) -> list[Any]:
        normalizer = make_normalizer(**self.rules)
        made = [*feed(normalizer, self.book, *records), *finish(normalizer, self.book)]
        self.wicked.take(made)
        return made

    @property
    def nets(self) -> tuple[Decimal, Decimal]:
        return self.wicked.nets()


def reasons(made: list[Any]) -> list[str]:
    return [one.reason for one in made if not isinstance(one, Row)]


class TestOwnRow:
    def test_a_sale_that_falls_below_zero_loses_what_is_left_and_the_rest_is_reported(self):
        run = Run()
        run(sale("10.00"))
        made = run(sale("-2.50", last_wct_update=CHANGED))
        assert payments(made) == [("REFUNDED", 10, CHANGED)]
        assert reasons(made) == [EXCESS]
        assert run.nets == (0, 0)

    def test_it_comes_back_as_a_further_order(self):
        run = Run()
        for amount in ("10.00", "-2.50", "4.00"):
            run(sale(amount))
        assert run.nets == (4, 4)


class TestMatching:
    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize("first", ["sale", "return"])
    def test_a_return_takes_back_from_its_sale_in_whatever_order_they_are_read(self, together, first):
        run, records = Run(), [sale("10.00"), returned("-4.00")]
        if first == "return":
            records.reverse()
        for each in [records] if together else [[one] for one in records]:
            run(*each)
        assert run.nets == (6, 6)
        assert run(*records) == [] or set(reasons(run(*records))) <= {UNMATCHED}
        assert run.nets == (6, 6)

    def test_of_a_waiting_return_only_the_rest_of_the_sale_is_sent(self):
        run = Run()
        assert reasons(run(returned("-4.00"))) == [UNMATCHED]
        assert reasons(run(returned("-4.00"))) == [UNMATCHED], "it is reported as often as it is read"
        assert payments(run(sale("10.00"))) == [("APPROVED", 6, "2024-06-20 08:00:00")]

    def test_a_sale_that_was_cancelled_before_it_was_read_is_not_sent(self):
        run = Run()
        run(returned("-10.00"))
        assert bodies(run(sale("10.00")), "orders") == []
        assert run.nets == (0, 0)

    @pytest.mark.parametrize(
        "other",
        [
            {"user_network_account_id": 8},
            {"advertiser_id": "A2"},
            {"currency_id": "EUR"},
            {"reference": "WCT240514135314other", "sub_ids": {"clickRef": "U42-WCT240514135314o1"}},
        ],
    )
    def test_a_sale_of_another_account_advertiser_currency_or_click_is_left_alone(self, other):
        run = Run()
        run(sale("10.00", **other))
        assert reasons(run(returned())) == [UNMATCHED]

    @pytest.mark.parametrize(
        "common",
        [
            {"reference": None},
            {"reference": None, "sub_ids": {"clickRef": "U42"}, "order_ref": "O-1"},
            {"reference": None, "sub_ids": {"a": "U42-WCT240514135314e7x4d", "b": "x"}},
        ],
        ids=["click", "order number", "click among others"],
    )
    def test_without_a_reference_the_click_and_then_the_order_number_decide(self, common):
        run = Run()
        run(sale("10.00", order_ref="O-1"))
        run(returned("-3.00", **common))
        assert run.nets == (7, 7)

    def test_of_several_sales_the_one_it_cancels_else_the_one_with_most_left(self):
        run = Run()
        run(sale("10.00", 1), sale("4.00", 2), sale("20.00", 3))
        run(returned("-4.00", 8))
        assert run.book.net(SALE_KEY.replace("T1", "T2")) == 0
        run(returned("-5.00", 9))
        assert run.book.net(SALE_KEY.replace("T1", "T3")) == 15

    def test_a_return_stays_with_its_sale_when_it_changes(self):
        run = Run()
        run(sale("10.00", 1), sale("20.00", 2))
        run(returned("-10.00"))
        run(returned("-12.00"))
        assert (run.book.net(SALE_KEY), run.nets) == (0, (20, 20))

    def test_more_than_the_sale_is_reported(self):
        run = Run()
        run(sale("10.00"))
        assert reasons(run(returned("-15.00"))) == [EXCESS]
        assert run.nets == (0, 0)

    def test_a_sale_that_falls_below_its_returns_is_reported_once(self):
        run = Run()
        run(sale("10.00"))
        run(returned("-8.00"))
        fallen = sale("6.00", last_wct_update="2024-07-02 00:00:00")
        assert reasons(run(fallen)) == [EXCESS]
        assert EXCESS not in reasons(run(fallen))
        assert run.nets == (0, 0)

    def test_a_sale_that_is_smaller_than_its_waiting_return_is_reported(self):
        run = Run()
        run(returned("-8.00"))
        assert EXCESS in reasons(run(sale("6.00")))
        assert run.nets == (0, 0)

    def test_the_sale_may_rise_under_its_returns(self):
        run = Run()
        run(sale("10.00"))
        run(returned("-15.00"))
        run(sale("16.00", last_wct_update="2024-07-02 00:00:00"))
        assert run.nets == (1, 1)


class TestUnsentSale:
    """A sale that its waiting return cancelled, so that no order of it was sent."""

    def cancelled(self, **rules: Any) -> Run:
        run = Run(**rules)
        run(returned("-10.00"))
        run(sale("10.00", last_wct_update=CHANGED))
        assert run.nets == (0, 0)
        return run

    def test_it_is_not_sent_once_it_is_declined_though_its_return_is_declined_too(self):
        run = self.cancelled()
        later = {"last_wct_update": "2024-07-02 00:00:00", "status": "declined"}
        run(sale("10.00", **later))
        run(returned("-10.00", **later))
        assert run.nets == (0, 0)

    def test_it_is_sent_if_it_is_approved_again(self):
        run = self.cancelled()
        run(sale("10.00", status="declined", last_wct_update="2024-07-02 00:00:00"))
        run(returned("-10.00", status="declined", last_wct_update="2024-07-02 00:00:00"))
        run(sale("9.00", last_wct_update="2024-07-03 00:00:00"))
        assert run.nets == (9, 9)

    def test_an_older_version_of_it_changes_nothing(self):
        run = self.cancelled()
        assert reasons(run(sale("25.00", last_wct_update="2024-06-20 00:00:00"))) == [OUTDATED]
        assert run.nets == (0, 0)

    def test_a_second_return_waits_and_counts_once_the_first_is_declined(self):
        run = self.cancelled()
        assert reasons(run(returned("-4.00", 8))) == [UNMATCHED]
        run(returned("-10.00", status="declined", last_wct_update="2024-07-02 00:00:00"))
        assert run.nets == (6, 6)

    def test_a_second_return_counts_in_the_call_in_which_the_first_one_shrinks(self):
        run = self.cancelled()
        run(returned("-1.00", last_wct_update="2024-07-02 00:00:00"), returned("-2.00", 8))
        assert run.nets == (7, 7)

    def test_a_return_that_waits_with_another_reference_of_it_counts_without_being_read_again(self):
        run = Run()
        run(returned("-10.00"))
        run(sale("10.00", order_ref="O-1", last_wct_update=CHANGED))
        run(returned("-4.00", 8, reference=None, sub_ids={"clickRef": "U42-"}, order_ref="O-1"))
        run(returned("-1.00", last_wct_update="2024-07-02 00:00:00"))
        assert run.nets == (5, 5)

    def test_its_return_that_shrinks_leaves_the_rest_to_send(self):
        run = self.cancelled()
        run(returned("-4.00", last_wct_update="2024-07-02 00:00:00"))
        assert run.nets == (6, 6)


class TestOlderRecords:
    """A record older than the latest one of its sale changes nothing, although the latest one made no row."""

    LATER = "2024-07-02 00:00:00"

    def test_after_a_record_that_changed_nothing(self):
        run = Run()
        run(sale("10.00", last_wct_update=CHANGED))
        run(sale("10.00", last_wct_update="2024-07-03 00:00:00"))
        assert run(sale("12.00", last_wct_update=self.LATER)) == [Skip(OUTDATED, 0)]
        assert run.nets == (10, 10)

    def test_after_a_decline_before_the_sale_was_sent(self):
        run = Run()
        assert run(sale("10.00", status="declined", last_wct_update=self.LATER)) == [Skip(NEVER_EARNED, 0)]
        assert run(sale("10.00", last_wct_update=CHANGED)) == [Skip(OUTDATED, 0)]
        assert run(sale("10.00", status="declined", last_wct_update=self.LATER)) == [Skip(NEVER_EARNED, 0)]
        run(sale("10.00", last_wct_update="2024-07-03 00:00:00"))
        assert run.nets == (10, 10)


class TestCurrency:
    """A return counts while it is in the currency of its sale."""

    def nets(self, run: Run) -> dict[str, tuple[Decimal, Decimal]]:
        return {currency: run.wicked.nets(currency) for currency in ("USD", "EUR") if any(run.wicked.nets(currency))}

    def test_a_sale_that_changes_its_currency_leaves_its_returns_waiting_and_reports_them(self):
        run = Run()
        run(sale("10.00"))
        run(returned("-4.00"))
        made = run(sale("9.00", currency_id="EUR", last_wct_update=CHANGED))
        assert reasons(made) == [UNMATCHED]
        assert self.nets(run) == {"EUR": (9, 9)}
        run(sale("9.00", last_wct_update="2024-07-02 00:00:00"))
        assert self.nets(run) == {"USD": (5, 5)}

    def test_a_return_in_the_new_currency_that_waited_counts(self):
        run = Run()
        run(sale("10.00"))
        run(returned("-4.00", currency_id="EUR"))
        run(sale("9.00", currency_id="EUR", last_wct_update=CHANGED))
        assert self.nets(run) == {"EUR": (5, 5)}

    @pytest.mark.parametrize("amount", ["10.00", "4.00"])
    def test_a_return_that_changes_its_currency_gives_its_money_back(self, amount):
        run = Run()
        run(returned("-4.00"))
        run(sale(amount))
        made = run(returned("-4.00", currency_id="EUR", last_wct_update="2024-07-02 00:00:00"))
        assert UNMATCHED in reasons(made)
        assert self.nets(run) == {"USD": (Decimal(amount), Decimal(amount))}

    def test_an_unsent_sale_that_changes_its_currency_is_sent_whole(self):
        run = Run()
        run(returned("-10.00"))
        run(sale("10.00"))
        run(sale("10.00", currency_id="EUR", last_wct_update="2024-07-02 00:00:00"))
        assert self.nets(run) == {"EUR": (10, 10)}


class TestStatus:
    def test_a_declined_return_takes_nothing_back(self):
        run = Run()
        run(sale("10.00"))
        assert run(returned(status="declined")) == [Skip(NEVER_EARNED, 0)]
        assert run.nets == (10, 10)

    def test_a_return_that_is_declined_later_gives_its_money_back(self):
        run = Run()
        run(sale("10.00"))
        run(returned("-4.00"))
        run(returned("-4.00", status="declined", last_wct_update="2024-07-02 00:00:00"))
        assert run.nets == (10, 10)

    def test_a_pending_return_waits_for_its_approval_where_sales_do(self):
        run = Run(recognize="approved")
        run(sale("10.00"))
        assert run(returned("-4.00", status="pending")) == [Skip(NOT_APPROVED, 0)]
        run(returned("-4.00"))
        assert run.nets == (6, 6)

    def test_a_return_without_a_sale_and_without_a_contact_belongs_to_a_sale_that_was_skipped(self):
        assert Run()(returned(sub_ids=None, reference="x")) == [Unattributed(NO_CONTACT, 0)]

    def test_a_sale_that_is_declined_gives_back_only_what_is_left(self):
        run = Run()
        run(sale("10.00"))
        run(returned("-4.00"))
        made = run(sale("10.00", status="declined", last_wct_update="2024-07-02 00:00:00"))
        assert [payment[:2] for payment in payments(made)] == [("REFUNDED", 6)]


def test_a_sale_that_loses_its_return_to_another_currency_counts_in_its_own():
    run = Run()
    run(sale("4.00"), returned("-4.00", currency_id="EUR"))
    later = {"last_wct_update": "2024-07-02 09:30:00"}
    run(returned("-4.00", **later), sale("4.00", currency_id="EUR", **later))
    assert (run.wicked.nets("USD"), run.wicked.nets("EUR")) == ((0, 0), (4, 4))


@pytest.mark.parametrize("apart", [True, False])
def test_a_small_change_that_waits_counts_when_a_return_comes(apart):
    run = Run(smallest_change="2.50")
    records = [sale("7.51"), sale("10.00", last_wct_update=CHANGED), returned("-7.51")]
    for group in [[one] for one in records] if apart else [records]:
        run(*group)
    assert run.nets == (Decimal("2.49"), Decimal("2.49"))


def test_the_stored_return_is_reported_with_its_record_and_holds_no_state_back():
    (letter,) = Run()(returned("-4.00"))
    assert isinstance(letter, Reject)
    assert (letter.from_ledger, letter.row["commission_amount"]) == (True, "-4.00")


def test_the_ledger_stores_the_record_of_an_unmatched_return_only():
    run = Run()
    run(sale("10.00"), returned("-4.00"))
    totals = run.book.sale_totals
    totals.load([], [f"{SALE_KEY}"], [])
    assert orjson.loads(totals.total(SALE_KEY).facts) == {}
