"""BigCommerce's five streams as contacts, products, orders and lines."""

from __future__ import annotations

import itertools

import pytest
from builders.bigcommerce import (
    EDITED,
    Shop,
    bodies,
    customer,
    guest_order,
    line,
    order,
    paid,
    product,
    reasons,
    transaction,
)
from destination_wicked_reports.config.mappings import SubscriptionRule
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.mappings.bigcommerce.normalizer import (
    DELETED,
    NO_BUYER,
    ORDER_UNREAD,
    BigcommerceNormalizer,
)
from destination_wicked_reports.mappings.bigcommerce.order import OUTDATED
from destination_wicked_reports.mappings.bigcommerce.records import BUNDLED, INCOMPLETE
from destination_wicked_reports.mappings.factory import make_normalizer
from destination_wicked_reports.model import Record, Reject, Row

ALL = (customer(), product(), order(), line(1), line(2, quantity=1), transaction(1))

# -- people and products ----------------------------------------------------------------------------------------------


def test_a_customer_is_a_contact_under_the_shops_id():
    (row,) = bodies(Shop()(customer()), "contacts")
    assert row == {
        "SourceSystem": "BigCommerce",
        "SourceID": "7",
        "CreateDate": "2024-01-02 03:04:05",
        "Email": "customer7@example.com",
        "FirstName": "Ada",
        "LastName": "Byron",
        "City": "Bath",
        "State": "Somerset",
        "Country": "United Kingdom",
        "IP_Address": "192.0.2.7",
    }


def test_a_customer_without_addresses_is_a_contact_all_the_same():
    _, data = customer()
    del data["addresses"]
    (row,) = bodies(Shop()(("customers", data)), "contacts")
    assert "City" not in row


def test_a_changed_customer_is_sent_again_and_an_unchanged_one_is_not():
    shop = Shop()
    shop(customer())
    assert shop(customer()) == []
    (row,) = bodies(shop(customer(first_name="Augusta")), "contacts")
    assert row["FirstName"] == "Augusta"


def test_a_guest_is_a_contact_under_the_lower_cased_email_address():
    made = Shop()(guest_order(), transaction(1))
    (contact,), (sold,) = bodies(made, "contacts"), bodies(made, "orders")
    assert (contact["SourceID"], contact["Email"]) == ("ada@example.com", "ada@example.com")
    assert (contact["City"], contact["IP_Address"]) == ("Bath", "192.0.2.9")
    assert (sold["ContactID"], sold["ContactEmail"]) == ("", "ada@example.com")


def test_a_guest_of_two_orders_is_one_contact_dated_by_the_older_order():
    older = {"date_created": "Mon, 13 May 2024 10:00:00 +0000"}
    shop = Shop()
    (contact,) = bodies(shop(guest_order(101), guest_order(100, **older)), "contacts")
    assert contact["CreateDate"] == "2024-05-13 10:00:00"
    assert bodies(shop(guest_order(102)), "contacts") == []


def test_a_customer_who_was_not_read_is_made_from_the_order_and_corrected_by_the_customers_own_record():
    shop = Shop()
    (made_up,) = bodies(shop(order()), "contacts")
    assert (made_up["SourceID"], made_up["Email"]) == ("7", "Ada@example.com")
    (real,) = bodies(shop(customer()), "contacts")
    assert (real["SourceID"], real["Email"]) == ("7", "customer7@example.com")
    assert bodies(shop(order(101)), "contacts") == []


def test_a_product_that_was_not_read_is_made_from_its_line():
    shop = Shop()
    (made_up,) = bodies(shop(order(), line()), "products")
    assert made_up == {"SourceSystem": "BigCommerce", "SourceID": "55", "ProductName": "Kettle", "ProductPrice": 40}
    assert bodies(shop(product(), order(101), line(9, 101)), "products")[0]["ProductPrice"] == 25.5


def test_a_line_of_something_that_is_in_no_catalog_names_no_product():
    made = Shop()(order(), line(product_id=0))
    assert bodies(made, "orders")[0]["OrderItems"][0]["ProductID"] == ""
    assert bodies(made, "products") == []


# -- orders -----------------------------------------------------------------------------------------------------------


def test_an_order_leaves_with_its_lines_and_payments_in_it():
    (row,) = bodies(Shop()(*ALL), "orders")
    assert row == {
        "SourceSystem": "BigCommerce",
        "SourceID": "100",
        "CreateDate": "2024-05-14 10:00:00",
        "ContactID": "7",
        "ContactEmail": "Ada@example.com",
        "OrderTotal": 100,
        "OrderCurrency": "USD",
        "Country": "United Kingdom",
        "City": "Bath",
        "State": "Somerset",
        "IP_Address": "192.0.2.9",
        "OrderItems": [
            {"OrderItemID": "1", "ProductID": "55", "Qty": 2, "PPU": 50},
            {"OrderItemID": "2", "ProductID": "55", "Qty": 1, "PPU": 50},
        ],
        "OrderPayments": [{"PaymentDate": "2024-05-14 10:01:00", "Amount": 100, "Status": "APPROVED"}],
    }


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("Tue, 14 May 2024 10:00:00 +0000", "2024-05-14 10:00:00"),
        ("Tue, 14 May 2024 10:00:00 -0500", "2024-05-14 15:00:00"),
        ("14 May 2024 10:00:00 GMT", "2024-05-14 10:00:00"),
        ("Tue, 14 May 2024 10:00:00 PDT", "2024-05-14 17:00:00"),
        ("2024-05-14T10:00:00Z", "2024-05-14 10:00:00"),
        ("2024-05-14T10:00:00+02:00", "2024-05-14 08:00:00"),
        ("2024-05-14 10:00:00", "2024-05-14 10:00:00"),
    ],
)
def test_dates_are_read_in_rfc_2822_and_in_iso_8601(written, utc):
    assert bodies(Shop()(order(date_created=written)), "orders")[0]["CreateDate"] == utc


@pytest.mark.parametrize(
    "written",
    [
        *("soon", "2024-05-14", "Tue, 31 Feb 2024 10:00:00 +0000", 1715680800, None),
        *("Tue, 14 May 2024 10:00:00 CEST", "Tue, 14 May 2024 10:00:00 CET", "Tue, 14 May 2024 10:00:00 GMT+2"),
        *("Tue, 14 May 2024 10:00:00", "Mon, 14 May 2024 10:00:00 +0000", "14 May 2024 10:00 PM"),
    ],
)
def test_an_invalid_date_is_a_dead_letter(written):
    (letter,) = Shop()(order(date_created=written))
    assert isinstance(letter, Reject)
    assert (letter.field, letter.endpoint) == ("CreateDate", "orders")


@pytest.mark.parametrize("total", ["100.0000", "100", 100, 100.0])
def test_money_is_read_as_text_and_as_a_number(total):
    assert bodies(Shop()(order(total=total)), "orders")[0]["OrderTotal"] == 100


@pytest.mark.parametrize("ids", list(itertools.product([100, "100"], repeat=3)))
def test_ids_are_read_as_text_and_as_numbers(ids):
    order_id, line_id, transaction_id = ids
    made = Shop()(order(order_id), line(order_id=line_id), transaction(1, order_id=transaction_id))
    (row,) = bodies(made, "orders")
    assert len(row["OrderItems"]) == len(row["OrderPayments"]) == 1


def test_an_incomplete_order_is_skipped_until_it_is_complete():
    shop = Shop()
    made = shop(order(status_id=0, status="Incomplete"), line())
    assert reasons(made) == [INCOMPLETE, ORDER_UNREAD]
    (row,) = bodies(shop(order(**EDITED)), "orders")
    assert len(row["OrderItems"]) == 1


@pytest.mark.parametrize("yes", [True, "true", 1, "1"])
def test_a_deleted_order_is_skipped(yes):
    assert reasons(Shop()(order(is_deleted=yes), line(), transaction(1))) == [DELETED]


def test_an_order_deleted_after_it_was_sent_is_refunded():
    shop = Shop()
    shop(*ALL)
    assert paid(shop(order(is_deleted=True, **EDITED))) == [("REFUNDED", 100)]
    assert paid(shop(order(is_deleted=True, **EDITED), transaction(1))) == []


def test_an_order_without_a_buyer_is_skipped_and_counted():
    assert reasons(Shop()(guest_order(billing_address={"email": ""}))) == [NO_BUYER]


def test_a_billing_address_kept_as_text_is_read():
    made = Shop()(guest_order(billing_address='{"email": "ada@example.com", "city": "Bath"}'))
    assert bodies(made, "orders")[0]["City"] == "Bath"


def test_an_order_without_tax_counts_its_payments_without_tax():
    shop = Shop(order_total="total_ex_tax")
    (row,) = bodies(shop(order(), line(), transaction(1)), "orders")
    assert row["OrderTotal"] == 80
    assert row["OrderItems"][0]["PPU"] == 40
    assert row["OrderPayments"][0]["Amount"] == 80
    assert paid(shop(transaction(2, "refund", 50.0))) == [("PARTIALLY REFUNDED", 40)]


# -- lines ------------------------------------------------------------------------------------------------------------


def test_lines_inside_a_bundle_are_left_out_unless_they_are_asked_for():
    bundle = [order(), line(1), line(2, parent_order_product_id=1, price_inc_tax="0.0000")]
    made = Shop()(*bundle)
    assert reasons(made) == [BUNDLED]
    assert [item["OrderItemID"] for item in bodies(made, "orders")[0]["OrderItems"]] == ["1"]
    assert len(bodies(Shop(bundled_lines="keep")(*bundle), "orders")[0]["OrderItems"]) == 2


@pytest.mark.parametrize("quantity", [1.5, "many", None])
def test_a_line_of_no_whole_quantity_is_a_dead_letter_alone(quantity):
    made = Shop()(order(), line(1), line(2, quantity=quantity))
    (letter,) = [one for one in made if isinstance(one, Reject)]
    assert (letter.endpoint, letter.field) == ("order_items", "Qty")
    assert len(bodies(made, "orders")[0]["OrderItems"]) == 1


def test_a_line_that_cannot_be_written_leaves_its_order_alone():
    made = Shop()(order(), line(1), line(2, price_inc_tax="0.12345678901234567890"))
    (letter,) = [one for one in made if isinstance(one, Reject)]
    assert (letter.endpoint, letter.field, letter.row["SourceID"]) == ("order_items", "PPU", "2")
    assert (letter.from_ledger, letter.row["SourceSystem"], letter.row["OrderID"]) == (True, "BigCommerce", "100")
    assert len(bodies(made, "orders")[0]["OrderItems"]) == 1


def test_an_item_read_after_its_order_was_sent_is_one_row_of_its_own():
    shop = Shop()
    shop(order(), line(1))
    (row,) = bodies(shop(line(1), line(2)), "order_items")
    assert (row["OrderID"], row["SourceID"]) == ("100", "2")
    assert shop(line(1), line(2)) == []


# -- order of streams, and repetition ---------------------------------------------------------------------------------


STREAMS = [customer(), product(), order(), line(), transaction(1)]


def every_order():
    """Yield the streams in each of their 120 orders, with a shop of its own in one common ledger."""
    ledger = Shop().ledger
    for number, streams in enumerate(itertools.permutations(STREAMS)):
        shop = Shop(source_system=f"Shop{number:03}")
        shop.ledger = ledger
        yield shop, streams


def test_whatever_the_order_of_the_streams_the_rows_are_the_same():
    expected = {(row.endpoint, row.body.replace(b"BigCommerce", b"")) for row in Shop()(*STREAMS)}
    for shop, streams in every_order():
        made = shop(*streams, calls=5)
        name = shop.rules["source_system"].encode()
        assert {(row.endpoint, row.body.replace(name, b"")) for row in made} == expected
        assert len(made) == 3


def test_over_separate_runs_the_rows_end_right():
    for shop, streams in every_order():
        made = [row for stream in streams for row in shop(stream)]
        (sold,) = bodies(made, "orders")
        items = sold.get("OrderItems", []) + bodies(made, "order_items")
        assert [(item["ProductID"], item["Qty"]) for item in items] == [("55", 2)]
        assert paid(made) == [("APPROVED", 100)]
        assert bodies(made, "contacts")[-1]["Email"] == "customer7@example.com"
        assert bodies(made, "products")[-1]["ProductPrice"] == 25.5


def test_a_last_day_that_is_read_again_sends_nothing():
    shop = Shop()
    shop(*ALL, guest_order(101), transaction(5, order_id=101))
    assert shop(*ALL, guest_order(101), transaction(5, order_id="101")) == []
    assert shop(*ALL, *ALL) == []


def test_an_older_version_of_an_order_is_skipped():
    shop = Shop()
    shop(order(total="120.0000", **EDITED), transaction(1, amount=120.0))
    assert reasons(shop(order(total="100.0000"))) == [OUTDATED]
    assert shop.net() == 120


def test_lines_and_payments_of_an_unread_order_wait_in_the_ledger_and_are_counted_once():
    shop = Shop()
    assert reasons(shop(line(), transaction(1))) == [ORDER_UNREAD]
    assert shop() == []
    (row,) = bodies(shop(order()), "orders")
    assert len(row["OrderItems"]) == len(row["OrderPayments"]) == 1


def test_an_order_that_did_not_arrive_is_sent_by_the_next_run_with_what_was_read_since():
    shop = Shop()
    shop.lost = {"orders"}
    shop(order(), line(1), transaction(1))
    shop.lost = set()
    (row,) = bodies(shop(line(2)), "orders")
    assert len(row["OrderItems"]) == 2
    assert shop() == []
    assert shop.net() == 100


def test_an_item_and_a_payment_that_did_not_arrive_are_sent_by_the_next_run():
    shop = Shop()
    shop(order(), line(1), transaction(1))
    shop.lost = {"order_items", "order_payments"}
    shop(line(2), transaction(2, "refund", 30.0))
    shop.lost = set()
    made = shop()
    assert [item["SourceID"] for item in bodies(made, "order_items")] == ["2"]
    assert paid(made) == [("PARTIALLY REFUNDED", 30)]


def test_personal_data_is_deleted_once_the_order_is_sent():
    shop = Shop()
    shop(*ALL)
    shop()
    book = OrderBook(shop.ledger).documents
    book.load(["BigCommerce\x1f100"])
    document = book.get("BigCommerce\x1f100")
    assert document is not None
    assert b"example.com" not in document.facts
    assert b"Byron" not in document.facts


def test_two_shops_in_one_ledger_do_not_mix():
    first, second = Shop(), Shop(source_system="Second")
    second.ledger = first.ledger
    first(*ALL)
    assert bodies(second(*ALL), "orders")[0]["SourceSystem"] == "Second"


# -- subscriptions ----------------------------------------------------------------------------------------------------


def test_the_first_order_and_every_rebill_carry_the_same_subscription():
    rule = SubscriptionRule(field="external_id", pattern=r"^(?P<subscription_id>SUB-\d+)")
    other = SubscriptionRule(field="staff_notes", pattern=r"subscription (?P<subscription_id>\w+)")
    shop = Shop(subscription_rules=[rule, other])
    made = shop(
        order(100, external_id="SUB-9-1"),
        order(101, external_id="SUB-9-2"),
        order(102, staff_notes="Rebill of subscription S5, sent by the app"),
        order(103, external_id="ERP-1"),
    )
    found = {row["SourceID"]: row.get("SubscriptionID") for row in bodies(made, "orders")}
    assert found == {"100": "SUB-9", "101": "SUB-9", "102": "S5", "103": None}


# -- the configuration ------------------------------------------------------------------------------------------------


def parse(**mapping):
    return Config.parse({"api_key": "k", "mapping": {"type": "bigcommerce", **mapping}})


def test_every_option_reaches_the_mapping():
    options = {
        "source_system": "Shop",
        "order_total": "total_ex_tax",
        "currency": "store",
        "bundled_lines": "keep",
        "subscription_rules": [{"field": "external_id", "pattern": "(?P<subscription_id>.+)"}],
    }
    normalizer = make_normalizer(parse(**options))
    assert isinstance(normalizer, BigcommerceNormalizer)
    assert normalizer.mapping.model_dump(include=set(options)) == options


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"field": "external_id", "pattern": "("}, "is not a regular expression"),
        ({"field": "external_id", "pattern": "SUB"}, "needs a named group"),
        ({"field": "*.x", "pattern": "(?P<subscription_id>.)"}, r"subscription_rules\[0\].field"),
    ],
)
def test_a_subscription_rule_that_cannot_work_is_refused(rule, message):
    with pytest.raises(ConfigurationError, match=message):
        parse(subscription_rules=[rule])


# -- without a ledger -------------------------------------------------------------------------------------------------


def test_without_a_ledger_buffered_records_block_the_states_until_their_rows_do():
    config = Config.parse({"api_key": "k", "mapping": {"type": "bigcommerce"}, "ledger": {"type": "none"}})
    normalizer, book = make_normalizer(config), OrderBook(Shop().ledger)
    records = [Record(stream, data, place) for place, (stream, data) in enumerate([customer(), order(), line()], 1)]
    list(normalizer.normalize(records, book))
    assert normalizer.oldest_buffered == 2
    rows = [row for row in normalizer.finish(book) if isinstance(row, Row)]
    assert {row.sequence for row in rows} == {2}
    assert normalizer.oldest_buffered == float("inf")


def test_with_a_ledger_nothing_blocks_the_states():
    normalizer, book = make_normalizer(parse()), OrderBook(Shop().ledger)
    stream, data = order()
    list(normalizer.normalize([Record(stream, data, 1)], book))
    assert normalizer.oldest_buffered == float("inf")


class TestTwoShopsOfOneLedger:
    def test_what_waits_for_one_shop_is_not_sent_by_the_other(self):
        first = Shop(source_system="one")
        first.lost = {"orders"}
        first(guest_order(), line())
        second = Shop(source_system="two", ledger=first.ledger)
        assert bodies(second(guest_order(200)), "orders")[0]["SourceID"] == "200"
        first.lost = set()
        assert [order["SourceSystem"] for order in bodies(first(), "orders")] == ["one"]
