"""The ledger's form of an order draft."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from builders.bigcommerce import guest_order, line, order, transaction
from destination_wicked_reports.config.mappings import SubscriptionRule
from destination_wicked_reports.mappings.bigcommerce.order import OrderDraft
from destination_wicked_reports.mappings.bigcommerce.records import (
    OrderItem,
    ShopOrder,
    Transaction,
    read_item,
    read_order,
    read_transaction,
)
from destination_wicked_reports.mappings.field_rules import FieldRule

RULE = SubscriptionRule(field="external_id", pattern=r"(?P<subscription_id>SUB-\d+)")
ORDER = read_order(order(external_id="SUB-9")[1], [FieldRule(RULE.field, RULE.pattern)])
PERSONAL = {"email", "first_name", "last_name", "city", "state", "country", "ip_address", "subscription_id"}


def item(**changes) -> OrderItem:
    return read_item(line(**changes)[1])


def moved(*arguments, **changes) -> Transaction:
    made = read_transaction(transaction(*arguments, **changes)[1])
    assert isinstance(made, Transaction)
    return made


DRAFTS = {
    "empty": OrderDraft("Shop\x1f100"),
    "unread order": OrderDraft("Shop\x1f100", None, {"1": moved(1)}, {"2": item()}, due="~"),
    "unsent": OrderDraft(
        "Shop\x1f100", ORDER, {"1": moved(1), "2": moved(2, test=True)}, {"2": item()}, due="2024-05-14 10:00:00"
    ),
    "waiting": OrderDraft(
        "Shop\x1f100", ORDER, reported={"currency 2"}, waiting_since="2024-05-20", due="2024-05-14 10:00:00"
    ),
    "erased": OrderDraft("Shop\x1f100", ORDER.without_personal_data(), erased=True, waiting_since="2024-05-20"),
    "nested": OrderDraft("Shop\x1f100", ORDER, {"1": moved(1)}, {"2": item()}, {"2", "3"}),
    "sent": OrderDraft("Shop\x1f100", ORDER.without_personal_data(), {"1": moved(1)}, {}, {"2"}, sent=True),
    "sent and changed": OrderDraft("Shop\x1f100", ORDER, sent=True, due="2024-05-14 10:00:00"),
}


@pytest.mark.parametrize("draft", DRAFTS.values(), ids=DRAFTS)
def test_a_draft_comes_back_from_its_document_unchanged(draft):
    document = draft.document()
    assert OrderDraft.of(document) == draft
    assert OrderDraft.of(document).document() == document


@pytest.mark.parametrize("changes", [{"sent": True, "due": ""}, {"erased": True}])
def test_the_document_of_an_order_that_was_sent_or_ended_has_no_personal_data(changes):
    stored = OrderDraft.of(replace(DRAFTS["unsent"], **changes).document()).order
    assert stored is not None
    emptied = {field.name for field in fields(ShopOrder) if getattr(stored, field.name) != getattr(ORDER, field.name)}
    assert emptied == PERSONAL
    assert all(getattr(stored, name) == "" for name in PERSONAL)


@pytest.mark.parametrize(("made", "buyer"), [(order, "7"), (guest_order, "ada@example.com")])
def test_the_buyer_is_the_customer_or_the_guests_lower_cased_address(made, buyer):
    assert read_order(made()[1], []).buyer_id == buyer
