"""Sovrn's transactions: sales and their edits, contacts, amounts, dates, and invalid records."""

from __future__ import annotations

from typing import Any, ClassVar

import orjson
import pytest
from builders.affiliate import bodies, payments
from builders.sovrn import CHANGED, NOON_CHANGED, NOON_SOLD, SALE_KEY, SOLD, Desk, reasons, taken_back, transaction
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.mappings.affiliate.base import EXCLUDED_NETWORK, NO_CONTACT, REINSTATED, WORTHLESS
from destination_wicked_reports.mappings.affiliate.returns import EXCESS
from destination_wicked_reports.mappings.affiliate.sovrn import SovrnNormalizer
from destination_wicked_reports.mappings.affiliate.sovrn_cpc import CPC_SKIPPED
from destination_wicked_reports.mappings.factory import make_normalizer as wire
from destination_wicked_reports.model import Reject, Row, Skip
from hypothesis import given, settings
from hypothesis import strategies as st

A_SECOND_LATER = f"{CHANGED} 12:00:01"


def order_of(*, rules: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    (order,) = bodies(Desk(**(rules or {}))(transaction(**changes)), "orders")
    return order


def rejected(*, rules: dict[str, Any] | None = None, **changes: Any) -> Reject:
    (made,) = Desk(**(rules or {}))(transaction(**changes))
    assert isinstance(made, Reject)
    return made


def story(*amounts: str, **rules: Any) -> list[list[tuple[str, float, str]]]:
    """The payments that each amount of one row makes, one run an amount."""
    desk = Desk(**rules)
    return [payments(desk(transaction(amount))) for amount in amounts]


class TestFirstSight:
    def test_a_sale_becomes_one_order_at_noon_with_its_payment_nested(self):
        made = Desk()(transaction())
        assert [row.endpoint for row in made] == ["products", "orders"]
        assert bodies(made, "products") == [
            {"SourceSystem": "sovrn", "SourceID": "567", "ProductName": "Shoe Shop", "ProductPrice": 0}
        ]
        assert bodies(made, "orders") == [
            {
                "SourceSystem": "sovrn",
                "SourceID": "sovrn-1234-R1-C1",
                "CreateDate": NOON_SOLD,
                "ContactID": "U42",
                "ContactEmail": "",
                "OrderTotal": 10,
                "OrderCurrency": "USD",
                "OrderItems": [{"OrderItemID": "sovrn-1234-R1-C1", "ProductID": "567", "Qty": 1, "PPU": 10}],
                "OrderPayments": [{"PaymentDate": NOON_SOLD, "Amount": 10, "Status": "APPROVED"}],
            }
        ]
        assert made[1].key == made[1].sale_key == SALE_KEY

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"revenue_id": None}, "sovrn-1234--C1"),
            ({"commission_id": ""}, "sovrn-1234-R1-"),
            ({"revenue_id": None, "commission_id": None}, "sovrn-1234-click-k1"),
            ({"account_id": 1234, "revenue_id": 5}, "sovrn-1234-5-C1"),
        ],
    )
    def test_an_id_may_be_missing_or_a_number(self, changes, expected):
        assert order_of(**changes)["SourceID"] == expected

    @pytest.mark.parametrize("amount", ["0", "0.0000", "0.0049", "-0.004", 0])
    def test_a_row_worth_less_than_a_cent_makes_no_order_until_it_is_worth_one(self, amount):
        desk = Desk()
        assert reasons(desk(transaction(amount))) == [WORTHLESS]
        assert payments(desk(transaction("0.0050"))) == [("APPROVED", 0.01, NOON_SOLD)]

    def test_a_date_with_an_added_midnight_is_a_date(self):
        assert order_of(commission_date=f"{SOLD}T00:00:00.000000Z")["CreateDate"] == NOON_SOLD

    @pytest.mark.parametrize("status", [None, "cpx", "CPA"])
    def test_what_is_not_paid_by_the_click_is_a_sale(self, status):
        assert order_of(program_type=status)["OrderTotal"] == 10


class TestLaterChanges:
    def test_the_same_again_makes_nothing(self):
        assert story("10.00", "10.0000", "10")[1:] == [[], []]

    def test_lower_is_a_partial_refund_higher_a_further_order_and_zero_refunds_what_is_left_of_both(self):
        assert story("10.00", "7.50", "8.00", "0.00")[1:] == [
            [("PARTIALLY REFUNDED", 2.5, NOON_CHANGED)],
            [("APPROVED", 0.5, NOON_CHANGED)],
            [("REFUNDED", 0.5, A_SECOND_LATER), ("REFUNDED", 7.5, A_SECOND_LATER)],
        ]

    def test_an_edit_below_zero_refunds_what_is_left_and_reports_the_excess(self):
        desk = Desk()
        desk(transaction())
        made = desk(transaction("-3.00"))
        assert payments(made) == [("REFUNDED", 10, NOON_CHANGED)]
        assert reasons(made) == [EXCESS]

    def test_a_reinstated_sale_is_a_further_order(self):
        desk = Desk()
        desk(transaction("10.00"))
        desk(transaction("0"))
        (order,) = bodies(desk(transaction("4.00")), "orders")
        assert order["SourceID"] == "sovrn-1234-R1-C1~2"
        assert (order["CreateDate"], order["OrderPayments"][0]["PaymentDate"]) == (NOON_SOLD, NOON_CHANGED)
        assert desk.net() == 4

    def test_a_reinstated_sale_can_be_skipped_and_counted(self):
        desk = Desk(on_reinstatement="skip")
        desk(transaction("10.00"), transaction("0"))
        assert reasons(desk(transaction("4.00"))) == [REINSTATED]

    def test_a_known_order_needs_no_contact_any_more(self):
        desk = Desk()
        desk(transaction())
        assert payments(desk(transaction("6.00", cuid=""))) == [("PARTIALLY REFUNDED", 4, NOON_CHANGED)]

    def test_without_a_date_of_change_the_sales_own_date_is_used_a_second_later(self):
        desk = Desk()
        desk(transaction())
        assert payments(desk(transaction("6.00", update_date=None))) == [("PARTIALLY REFUNDED", 4, f"{SOLD} 12:00:01")]


class TestAmounts:
    @pytest.mark.parametrize(
        ("amount", "cents"), [("0.145", 0.15), ("0.14499", 0.14), ("2.675", 2.68), ("7.5E-1", 0.75), (0.145, 0.15)]
    )
    def test_amounts_are_rounded_half_up_to_cents(self, amount, cents):
        assert order_of(publisher_net_revenue=amount)["OrderTotal"] == cents

    @pytest.mark.parametrize("amount", [None, "", "ten", True, [], "NaN", float("inf"), "1e20"])
    def test_an_invalid_amount_is_rejected(self, amount):
        reject = rejected(publisher_net_revenue=amount)
        assert (reject.field, reject.endpoint) == ("OrderTotal", "orders")
        assert reject.reason.startswith("publisher_net_revenue")

    def test_the_sale_amount_can_be_the_basis(self):
        assert order_of(rules={"revenue_basis": "sale_amount"})["OrderTotal"] == 100

    def test_a_return_that_keeps_the_orders_value_is_a_return_on_either_basis(self):
        desk = Desk(revenue_basis="sale_amount")
        made = desk(transaction(), taken_back("-4.00", order_value="40.00"))
        assert [payment[:2] for payment in payments(made)] == [("APPROVED", 100), ("PARTIALLY REFUNDED", 40)]

    def test_the_currency_is_inferred_and_can_be_named(self):
        assert order_of(rules={"order_currency": "EUR"})["OrderCurrency"] == "EUR"

    @pytest.mark.parametrize("account", [None, "", 1.5, {}])
    def test_a_row_without_its_account_is_rejected(self, account):
        assert rejected(account_id=account).reason.startswith("account_id")

    @pytest.mark.parametrize("name", ["commission_date", "update_date"])
    @pytest.mark.parametrize("day", [1.5, {"a": 1}, "soon", "2024-02-30", "2024-05-14 13:00:00", "1900-01-01"])
    def test_a_row_without_a_valid_day_is_rejected(self, name, day):
        reject = rejected(**{name: day})
        assert reject.field == "CreateDate"
        assert reject.reason.startswith(name)

    def test_no_two_sales_share_a_name(self):
        desk = Desk()
        desk(transaction(), transaction(commission_id="C1~2"))
        made = desk(transaction("15.00"), transaction("12.00", commission_id="C1~2"))
        names = [(order["SourceID"], order["OrderTotal"]) for order in bodies(made, "orders")]
        assert names == [("sovrn-1234-R1-C1~2", 5), ("sovrn-1234-R1-C1~2~1~2", 2)]

    def test_an_id_without_room_for_further_orders_is_rejected_with_the_first(self):
        (letter,) = Desk()(transaction(revenue_id="r" * 470, commission_id="c" * 20))
        assert isinstance(letter, Reject)
        assert letter.field == "SourceID"

    def test_a_row_without_any_id_is_rejected(self):
        assert "click_id" in rejected(revenue_id=None, commission_id=None, click_id=None).reason


class TestContacts:
    rules: ClassVar[dict[str, Any]] = {"contact_rules": [], "without_contact": "synthetic"}

    def test_a_sale_without_a_contact_is_skipped_and_sent_once_a_rule_finds_one(self):
        desk = Desk()
        assert reasons(desk(transaction(cuid=""))) == [NO_CONTACT]
        assert desk.state() is None
        rule = {"field": "page_utm_campaign", "pattern": "(?P<contact_id>.+)"}
        assert bodies(desk(transaction(cuid=""), contact_rules=[rule]), "orders")[0]["ContactID"] == "may"

    def test_a_click_becomes_a_contact_an_order_and_a_click_with_the_pages_utms(self):
        made = Desk(**self.rules)(transaction())
        assert [row.endpoint for row in made] == ["products", "contacts", "orders", "clicks"]
        (contact,), (sent,) = bodies(made, "contacts"), bodies(made, "clicks")
        assert (contact["Email"], contact["CreateDate"]) == ("k1@sovrn.invalid", "2024-05-12 12:00:00")
        assert (sent["Email"], sent["Date_Time"], sent["OrderID"]) == (
            "k1@sovrn.invalid",
            "2024-05-12 12:00:00",
            "sovrn-1234-R1-C1",
        )
        assert (sent["Source"], sent["Campaign"]) == ("fb", "may")

    @pytest.mark.parametrize(
        "link",
        [
            {"link_utm_source": "mail"},
            {"link_utm": {"utmSource": "mail"}},
            {"link_utm": {"source": "mail"}},
            {"link_utm": '{"utm_source": "mail"}'},
        ],
    )
    def test_without_utms_of_the_page_those_of_the_link_count_in_either_shape(self, link):
        page = {"page_utm_source": None, "page_utm_campaign": ""}
        made = Desk(**self.rules)(transaction(**{"link_utm_source": None, **page, **link}))
        assert bodies(made, "clicks")[0]["Source"] == "mail"

    @pytest.mark.parametrize("click_date", [None, "", "soon"])
    def test_a_click_without_a_day_takes_the_sales(self, click_date):
        made = Desk(**self.rules)(transaction(click_date=click_date))
        assert bodies(made, "clicks")[0]["Date_Time"] == NOON_SOLD

    @pytest.mark.parametrize("click_id", [None, ""])
    def test_a_sale_without_a_click_gets_a_contact_of_its_own(self, click_id):
        made = Desk(**self.rules)(transaction(click_id=click_id))
        assert bodies(made, "contacts")[0]["Email"] == "sovrn-1234-R1-C1@sovrn.invalid"


class TestNetworks:
    @pytest.mark.parametrize("network", ["Awin", "AWIN"])
    def test_a_network_that_wecantrack_delivers_can_be_excluded(self, network):
        assert Desk(exclude_networks=["awin"])(transaction(network=network)) == [Skip(EXCLUDED_NETWORK, 0)]

    @pytest.mark.parametrize("network", ["Sovrn", None, "CJ"])
    def test_others_are_not(self, network):
        assert payments(Desk(exclude_networks=["awin"])(transaction(network=network)))

    def test_clicks_paid_by_the_click_are_left_out_by_default_and_counted(self):
        assert Desk()(transaction(program_type="CPC")) == [Skip(CPC_SKIPPED, 0)]


class TestConfiguration:
    def test_the_mapping_makes_its_normalizer(self):
        mapping = {"type": "sovrn", "contact_rules": [{"field": "cuid", "pattern": "(?P<contact_id>.+)"}]}
        made = wire(Config.parse({"api_key": "k", "mapping": mapping}))
        assert isinstance(made, SovrnNormalizer)
        assert (made.streams, made.mapping.source_system) == ({"transactions"}, "sovrn")

    @pytest.mark.parametrize(
        "mapping",
        [{"exclude_networks": ["SOVRN"]}, {"order_currency": "usd"}, {"cpc": "some"}, {"currency": "euro"}],
    )
    def test_what_cannot_be_is_refused(self, mapping):
        with pytest.raises(ConfigurationError):
            Config.parse({"api_key": "k", "mapping": {"type": "sovrn", **mapping}})

    def test_a_rollup_needs_a_ledger(self):
        config = {"api_key": "k", "mapping": {"type": "sovrn", "cpc": "rollup"}, "ledger": {"type": "none"}}
        with pytest.raises(ConfigurationError, match="needs a ledger"):
            wire(Config.parse(config))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.sampled_from(list(transaction())), JSON, max_size=4), st.sampled_from(["skip", "rollup"]))
def test_no_record_can_raise_or_quote_itself(changes, cpc):
    desk = Desk(without_contact="synthetic", cpc=cpc)
    for data in (transaction(**changes), transaction(), taken_back("-2", **changes), changes):
        for made in desk(data):
            if isinstance(made, Row):
                assert isinstance(orjson.loads(made.body), dict)
            else:
                assert made.reason


def test_a_call_asks_the_ledger_a_fixed_number_of_times(monkeypatch):
    desk = Desk()
    desk(transaction())
    asked = []
    connection = desk.ledger.connection
    execute = connection.execute
    monkeypatch.setattr(connection, "execute", lambda *args, **more: asked.append(1) or execute(*args, **more))

    def cost(count: int) -> int:
        asked.clear()
        desk.run([transaction(revenue_id=f"{count}-{n}", commission_id=f"{count}-{n}", cuid="") for n in range(count)])
        return len(asked)

    assert cost(2) == cost(200)
