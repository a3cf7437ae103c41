"""wecantrack's transactions: every known set of fields and spelling, and invalid ones."""

from __future__ import annotations

from typing import Any, ClassVar

import orjson
import pytest
from builders.affiliate import BY_USER, SALE_KEY, Book, bodies, feed, make_normalizer, payments, transaction
from destination_wicked_reports.mappings.affiliate.base import CONVERSION_TYPE, EXCLUDED_NETWORK, NO_CONTACT
from destination_wicked_reports.model import Reject, Row, Skip, Unattributed
from hypothesis import given
from hypothesis import strategies as st

UTMS = {"utm_source": "fb", "utm_medium": "cpc", "utm_campaign": "may", "utm_content": "red", "utm_term": "shoes"}


def order_of(*, rules: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    (order,) = bodies(feed(make_normalizer(**(rules or {})), Book(), transaction(**changes)), "orders")
    return order


def rejected(*, rules: dict[str, Any] | None = None, **changes: Any) -> Reject:
    (made,) = feed(make_normalizer(**(rules or {})), Book(), transaction(**changes))
    assert isinstance(made, Reject)
    return made


class TestReading:
    def test_only_transactions_are_mapped(self):
        assert make_normalizer().streams == {"transactions"}

    def test_the_same_transaction_id_in_two_accounts_is_two_orders(self):
        made = feed(make_normalizer(), Book(), transaction(), transaction(user_network_account_id=8))
        assert [order["SourceID"] for order in bodies(made, "orders")] == ["wct-7-T1", "wct-8-T1"]

    def test_the_name_of_the_system_can_be_chosen(self):
        made = feed(make_normalizer(source_system="affiliates"), Book(), transaction())
        assert {body["SourceSystem"] for body in bodies(made, "orders") + bodies(made, "products")} == {"affiliates"}

    @pytest.mark.parametrize("field", ["transaction_id", "user_network_account_id"])
    @pytest.mark.parametrize("value", [None, "", " ", 1.5, True, {}])
    def test_a_transaction_without_its_ids_is_rejected(self, field, value):
        reject = rejected(**{field: value})
        assert reject.field == "SourceID"
        assert reject.reason.startswith(field)

    @pytest.mark.parametrize("status", [None, "", "paid", 1, [], {}])
    def test_an_unknown_status_is_rejected(self, status):
        assert rejected(status=status).field == "Status"

    def test_a_status_is_read_without_regard_to_case(self):
        assert order_of(status="Approved", validation_date="2024-06-01 00:00:00")["OrderPayments"][0]["Amount"] == 10

    @pytest.mark.parametrize("value", [transaction(), dict(reversed(transaction().items()))])
    def test_a_record_from_pyairbytes_cache_makes_the_same_rows(self, value):
        cached = {
            **value,
            "commission_amount": "10.000000000",
            "order_date": "2024-05-14T14:06:15",
            "last_wct_update": "2024-05-14T21:26:05",
            "sub_ids": orjson.dumps(value["sub_ids"]).decode(),
            "_airbyte_raw_id": "01HX",
            "_airbyte_extracted_at": "2024-05-15T00:00:00",
            "_airbyte_meta": "{}",
        }
        direct = feed(make_normalizer(), Book(), transaction())
        from_cache = feed(make_normalizer(), Book(), cached)
        assert [(row.key, row.body) for row in from_cache] == [(row.key, row.body) for row in direct]


class TestAmounts:
    @pytest.mark.parametrize(
        ("amount", "cents"),
        [
            ("0.145", 0.15),
            ("0.144999", 0.14),
            ("0.005", 0.01),
            ("2.675", 2.68),
            (10, 10),
            (0.145, 0.15),
            ("10", 10),
            ("1e1", 10),
        ],
    )
    def test_amounts_are_rounded_half_up_to_cents(self, amount, cents):
        assert order_of(commission_amount=amount)["OrderTotal"] == cents

    @pytest.mark.parametrize("amount", [None, "", "ten", "1,50", True, [], "NaN", float("inf"), "1e20"])
    @pytest.mark.parametrize("status", ["pending", "approved", "declined"])
    def test_an_invalid_amount_is_rejected(self, amount, status):
        reject = rejected(commission_amount=amount, status=status)
        assert reject.field == "OrderTotal"
        assert reject.reason.startswith("commission_amount")

    def test_a_missing_amount_is_rejected(self):
        data = transaction()
        del data["commission_amount"]
        (made,) = feed(make_normalizer(), Book(), data)
        assert isinstance(made, Reject)
        assert made.reason == "commission_amount is missing"

    @pytest.mark.parametrize(
        ("rules", "total", "currency"),
        [
            ({}, 10, "USD"),
            ({"revenue_basis": "sale_amount"}, 100, "USD"),
            ({"currency": "euro"}, 9.2, "EUR"),
            ({"currency": "euro", "revenue_basis": "sale_amount"}, 92, "EUR"),
        ],
    )
    def test_basis_and_currency_choose_the_amount(self, rules, total, currency):
        order = order_of(rules=rules)
        assert (order["OrderTotal"], order["OrderCurrency"]) == (total, currency)
        assert order["OrderItems"][0]["PPU"] == order["OrderPayments"][0]["Amount"] == total

    @pytest.mark.parametrize("currency", [None, "", "US", "DOLLAR", 978, "U$D"])
    def test_without_a_currency_code_amounts_cannot_be_added(self, currency):
        assert rejected(currency_id=currency).field == "OrderCurrency"

    def test_in_euro_mode_the_currency_of_the_transaction_does_not_matter(self):
        assert order_of(rules={"currency": "euro"}, currency_id=None)["OrderCurrency"] == "EUR"

    def test_a_lower_case_currency_code_is_the_same_currency(self):
        normalizer, book = make_normalizer(), Book()
        feed(normalizer, book, transaction())
        assert feed(normalizer, book, transaction(currency_id="usd")) == []


class TestContacts:
    def test_without_a_contact_a_sale_is_skipped_and_counted(self):
        assert feed(make_normalizer(), Book(), transaction(sub_ids=None)) == [Unattributed(NO_CONTACT, 0)]

    @pytest.mark.parametrize("sub_ids", [None, [], {}, {"clickref": None}])
    def test_sub_ids_may_be_null_or_an_empty_list(self, sub_ids):
        rules = [BY_USER, {"field": "click_metadata.email", "pattern": "(?P<email>.+@.+)"}]
        order = order_of(rules={"contact_rules": rules}, sub_ids=sub_ids, click_metadata={"email": "ann@example.com"})
        assert (order["ContactID"], order["ContactEmail"]) == ("", "ann@example.com")

    def test_a_contact_that_is_too_long_is_rejected_and_not_cut(self):
        assert rejected(sub_ids={"a": f"U{'1' * 500}-x"}).field == "ContactID"


class TestSyntheticContacts:
    rules: ClassVar[dict[str, Any]] = {"contact_rules": [], "without_contact": "synthetic"}

    def made(self, **changes: Any) -> list[Any]:
        return feed(make_normalizer(**self.rules), Book(), transaction(**changes))

    def test_a_click_becomes_a_contact_an_order_and_a_click(self):
        made = self.made(click_metadata=UTMS)
        assert [row.endpoint for row in made] == ["products", "contacts", "orders", "clicks"]
        email = "WCT240514135314e7x4d@wecantrack.invalid"
        assert bodies(made, "contacts") == [
            {"SourceSystem": "wecantrack", "SourceID": email, "CreateDate": "2024-05-14 13:53:14", "Email": email}
        ]
        assert bodies(made, "orders")[0]["ContactEmail"] == email
        assert bodies(made, "clicks") == [
            {
                "Email": email,
                "Date_Time": "2024-05-14 13:53:14",
                "Timezone": "UTC",
                "ConversionType": CONVERSION_TYPE,
                "Source": "fb",
                "Medium": "cpc",
                "Campaign": "may",
                "Content": "red",
                "Term": "shoes",
                "OrderID": "wct-7-T1",
            }
        ]

    def test_a_rule_that_matches_makes_no_synthetic_rows(self):
        made = feed(make_normalizer(without_contact="synthetic"), Book(), transaction())
        assert [row.endpoint for row in made] == ["products", "orders"]

    def test_a_known_order_of_a_real_contact_gets_no_click_later_on(self):
        normalizer, book = make_normalizer(without_contact="synthetic"), Book()
        feed(normalizer, book, transaction())
        assert feed(normalizer, book, transaction()) == []

    @pytest.mark.parametrize(
        ("reference", "click_date", "expected"),
        [
            ("wct240514135314e7x4d", "2024-05-01 00:00:00", "2024-05-14 13:53:14"),
            ("WCT249914135314e7x4d", "2024-05-01T10:00:00", "2024-05-01 10:00:00"),
            ("my-own-click-7", "2024-05-01 10:00:00", "2024-05-01 10:00:00"),
            ("my-own-click-7", None, "2024-05-14 14:06:15"),
            (None, None, "2024-05-14 14:06:15"),
        ],
    )
    def test_the_click_is_dated_by_its_id_else_by_the_network_else_by_the_sale(self, reference, click_date, expected):
        made = self.made(reference=reference, click_date=click_date)
        assert bodies(made, "contacts")[0]["CreateDate"] == bodies(made, "clicks")[0]["Date_Time"] == expected

    @pytest.mark.parametrize("reference", [None, "", 5])
    def test_a_sale_without_a_click_id_gets_a_contact_of_its_own(self, reference):
        assert bodies(self.made(reference=reference), "contacts")[0]["Email"] == "7-T1@wecantrack.invalid"

    def test_two_sales_of_one_click_share_their_contact(self):
        data = [transaction(transaction_id="T1"), transaction(transaction_id="T2")]
        made = feed(make_normalizer(**self.rules), Book(), *data)
        assert len(bodies(made, "contacts")) == 1
        assert [click["OrderID"] for click in bodies(made, "clicks")] == ["wct-7-T1", "wct-7-T2"]

    def test_a_click_is_sent_once_per_order_however_often_the_record_is_read(self):
        made = feed(make_normalizer(**self.rules), Book(), *[transaction()] * 3)
        assert len(bodies(made, "clicks")) == 1

    def test_a_click_lost_with_a_killed_run_is_sent_again_under_the_same_key(self):
        book = Book()
        first = feed(make_normalizer(**self.rules), book, transaction())
        again = feed(make_normalizer(**self.rules), book, transaction())
        assert [(row.endpoint, row.key, row.body) for row in again] == [
            (row.endpoint, row.key, row.body) for row in first if row.endpoint == "clicks"
        ]

    @pytest.mark.parametrize("metadata", [None, [], "[]", "nonsense", {"utm_source": None}, {"utm_source": ["x"]}])
    def test_metadata_without_utms_makes_a_click_without_them(self, metadata):
        assert "Source" not in bodies(self.made(click_metadata=metadata), "clicks")[0]

    def test_metadata_kept_as_json_text_is_read(self):
        made = self.made(click_metadata=orjson.dumps(UTMS).decode())
        assert bodies(made, "clicks")[0]["Source"] == "fb"

    def test_an_invalid_utm_costs_neither_the_order_nor_the_click(self):
        *_, order, click = self.made(click_metadata={"utm_source": "x" * 501})
        assert order.endpoint == "orders"
        assert (click.endpoint, click.left_out) == ("clicks", (("Source", "longer than 500 characters"),))

    def test_a_sale_has_one_contact_and_one_click_however_many_orders_it_gets(self):
        normalizer, book = make_normalizer(**self.rules), Book()
        made = [feed(normalizer, book, transaction(status=status)) for status in ("approved", "declined", "approved")]
        assert [(len(bodies(rows, "contacts")), len(bodies(rows, "clicks"))) for rows in made] == [
            (1, 1),
            (0, 0),
            (0, 0),
        ]
        assert bodies(made[2], "orders")[0]["ContactEmail"] == bodies(made[0], "contacts")[0]["Email"]


class TestNetworks:
    @pytest.mark.parametrize("network", ["sovrn", "Sovrn"])
    def test_an_excluded_network_is_skipped_and_counted(self, network):
        made = feed(make_normalizer(exclude_networks=["SOVRN", "viglink"]), Book(), transaction(network_id=network))
        assert made == [Skip(EXCLUDED_NETWORK, 0)]

    @pytest.mark.parametrize("network", [{}, {"network_id": None}, {"network_id": "awin"}])
    def test_other_networks_and_unnamed_ones_are_not(self, network):
        assert payments(feed(make_normalizer(exclude_networks=["sovrn"]), Book(), transaction(**network)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(list(transaction())), JSON, max_size=4), st.sampled_from(["skip", "synthetic"]))
def test_no_record_can_raise_or_quote_itself(changes, without_contact):
    normalizer, book = make_normalizer(without_contact=without_contact), Book()
    for data in (transaction(**changes), transaction(), transaction(**{**changes, "status": "declined"}), changes):
        for made in feed(normalizer, book, data):
            if isinstance(made, Row):
                assert isinstance(orjson.loads(made.body), dict)
            else:
                assert made.reason


def test_an_order_key_is_that_of_its_first_row():
    book = Book()
    made = feed(make_normalizer(), book, transaction())
    assert [row.key for row in made if row.endpoint == "orders"] == [SALE_KEY]
    assert book.state() is not None
