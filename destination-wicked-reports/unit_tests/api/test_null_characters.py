"""Ids with a null character are refused: SQLite would find another row by them, PostgreSQL none at all."""

import pytest
from builders import affiliate as affiliate_builders
from builders import bigcommerce as bigcommerce_builders
from builders import sovrn as sovrn_builders
from destination_wicked_reports.api.fields import NULL_CHARACTER
from destination_wicked_reports.config.mappings import BigcommerceMapping
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.mappings.bigcommerce.normalizer import BigcommerceNormalizer
from destination_wicked_reports.mappings.native import NativeNormalizer
from destination_wicked_reports.model import Record, Reject

ID = "T1\0T2"
NATIVE = ("orders", {"SourceSystem": "shop", "SourceID": ID, "ContactID": "c", "CreateDate": "2024-05-14 10:00:00"})
NATIVE[1].update(ContactEmail="", OrderTotal="1.00", OrderCurrency="USD")


def sovrn(**changes):
    return lambda: (sovrn_builders.make_normalizer(), ("transactions", sovrn_builders.transaction(**changes)))


def wecantrack(**changes):
    return lambda: (affiliate_builders.make_normalizer(), ("transactions", affiliate_builders.transaction(**changes)))


def bigcommerce(make):
    return lambda: (BigcommerceNormalizer(BigcommerceMapping(source_system="shop")), make(id=ID))


@pytest.mark.parametrize(
    "case",
    [
        lambda: (NativeNormalizer(), NATIVE),
        wecantrack(transaction_id=ID),
        wecantrack(user_network_account_id=ID),
        sovrn(account_id=ID),
        sovrn(revenue_id=ID),
        sovrn(commission_id=ID),
        sovrn(click_id=ID),
        sovrn(merchant_group_id=ID),
        bigcommerce(bigcommerce_builders.order),
        bigcommerce(bigcommerce_builders.customer),
    ],
)
def test_a_record_whose_id_has_a_null_character_is_rejected(case, ledger):
    normalizer, (stream, data) = case()
    made = list(normalizer.normalize([Record(stream, data, 1)], OrderBook(ledger)))
    assert [type(each) for each in made] == [Reject]
    assert made[0].reason.endswith(NULL_CHARACTER)


def test_a_product_whose_id_has_a_null_character_is_rejected_alone(ledger):
    normalizer = affiliate_builders.make_normalizer()
    data = affiliate_builders.transaction(advertiser_id=ID)
    made = list(normalizer.normalize([Record("transactions", data, 1)], OrderBook(ledger)))
    assert [each.endpoint for each in made if isinstance(each, Reject)] == ["products"]
    assert {each.endpoint for each in made} > {"orders"}
