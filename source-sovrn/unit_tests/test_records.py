"""Both published shapes become one flat record without losing a field."""

import json

import pytest
from jsonschema import Draft7Validator
from source_sovrn import SourceSovrn
from source_sovrn.records import FIELDS, campaign, merchant_day, snake_case, transaction

from integration_tests.support.source_fixtures import LOGGER

from .conftest import fill, serve

NESTED = (
    '{"account":{"accountId":1234,"campaignId":1,"campaignName":"Awesome Stuff"},"commission":{"revenueId":"123456",'
    '"commissionId":"abcd1234","commissionDate":"2023-01-01","updateDate":"2023-01-13","orderValue":0,'
    '"publisherNetRevenue":0.0075,"programType":"cpc"},"click":{"clickId":"defg1234","clickDate":"2023-01-01","cuid":"",'
    '"linkUtmInfo":{"utmSource":"s","utmMedium":"","utmCampaign":"","utmTerm":"","utmContent":""},'
    '"pageUtmInfo":{"utmSource":"","utmMedium":"","utmCampaign":"","utmTerm":"","utmContent":"t"},'
    '"pageUrl":"www.awesome-stuff.com/","linkUrl":"awesome.click/abc123?campaignid=1","sovrnProduct":"Link",'
    '"country":"us","device":"Mobile"},"merchant":{"merchantGroupId":56789,"merchantGroupName":"AwesomeSauce",'
    '"network":"Sovrn"},"product":[]}'
)
FLAT = (
    '{"revenueId":123456,"clickSid":"defg1234","accountId":1234,"commissionId":"abcd1234","merchantGroupId":56789,'
    '"merchantGroupName":"AwesomeSauce","campaignId":1,"campaignName":"Awesome Stuff","clickDate":"2023-01-01",'
    '"commissionDate":"2023-01-01","updateDate":"2023-01-13","publisherRevenue":0.0075,"orderValue":0,"cuid":"",'
    '"linkUtmInfo":{"utmSource":"s","utmMedium":"","utmCampaign":"","utmTerm":"","utmContent":""},'
    '"pageUtmInfo":{"utmSource":"","utmMedium":"","utmCampaign":"","utmTerm":"","utmContent":"t"},'
    '"destinationUrl":"awesome.click/abc123?campaignid=1","pageUrl":"www.awesome-stuff.com/","affProduct":"WRA",'
    '"programType":"CPC","networkName":"Sovrn","country":"us","deviceType":"MBL","merchandise":[]}'
)
EXPECTED = {
    "transaction_key": "123456:abcd1234", "account_id": "1234", "campaign_id": "1", "campaign_name": "Awesome Stuff",
    "revenue_id": "123456", "commission_id": "abcd1234", "commission_date": "2023-01-01", "update_date": "2023-01-13",
    "order_value": "0", "publisher_net_revenue": "0.0075", "program_type": "cpc", "click_id": "defg1234",
    "click_date": "2023-01-01", "cuid": "", "page_url": "www.awesome-stuff.com/", "page_title": None, "click_url": None,
    "link_url": "awesome.click/abc123?campaignid=1", "sovrn_product": "Link", "sovrn_product_code": None,
    "sovrn_product_sub_type": None, "country": "us", "device": "Mobile", "merchant_group_id": "56789",
    "merchant_group_name": "AwesomeSauce", "network": "Sovrn", "products": [],
    "link_utm_source": "s", "link_utm_medium": "", "link_utm_campaign": "", "link_utm_term": "", "link_utm_content": "",
    "page_utm_source": "", "page_utm_medium": "", "page_utm_campaign": "", "page_utm_term": "", "page_utm_content": "t",
}  # fmt: skip


def day(*rows: str) -> str:
    return f'{{"transactions":[{",".join(rows)}]}}'


@pytest.fixture
def one_day(config):
    return {**config, "end_date": "2026-01-01"}


def test_the_vendors_example_becomes_one_flat_record(sim, one_day, read):
    serve(sim, day(NESTED))
    assert read(one_day).rows() == [EXPECTED]


def test_both_shapes_in_one_day_become_the_same_record(sim, one_day, read):
    serve(sim, day(FLAT, NESTED))
    flat, nested = read(one_day).rows()
    assert nested == EXPECTED
    assert flat == {**EXPECTED, "sovrn_product_code": "WRA"}


def test_the_simulators_shapes_agree_row_by_row(sim, config, read):
    sim.sovrn.generate(transactions=400, days=20, later_days=0)
    config = {**config, "start_date": "2026-01-10", "end_date": "2026-01-31"}
    read_as = {}
    for shape in ("nested", "flat", "mixed"):
        sim.switch("sovrn.shape", shape)
        sim.switch("sovrn.ids", "number" if shape == "flat" else "string")
        outcome = read(config)
        assert outcome.error is None
        read_as[shape] = {row["transaction_key"]: {**row, "sovrn_product_code": None} for row in outcome.rows()}
    assert len(read_as["nested"]) > 50
    assert read_as["nested"] == read_as["flat"] == read_as["mixed"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0.0075", "0.0075"),
        ("1234.123456789012345", "1234.123456789012345"),
        ("0.1000", "0.1000"),
        ("-19.90", "-19.90"),
        ("12", "12"),
        ("7.5E-4", "0.00075"),
        ("1e3", "1000"),
        ("123456789012345678901234", "123456789012345678901234"),
        ('"0.10"', "0.10"),
        ("null", None),
        ("1e999999999", "1e999999999"),
        ("1e999999999999999999999", "1e999999999999999999999"),
        ("-1E-999999999999999999999", "-1E-999999999999999999999"),
    ],
)
@pytest.mark.parametrize("shape", [NESTED, FLAT])
def test_money_keeps_every_digit(number, text, shape, sim, one_day, read):
    serve(sim, day(shape.replace("0.0075", number)))
    assert read(one_day).rows()[0]["publisher_net_revenue"] == text


def test_products_are_renamed_and_their_prices_are_exact(sim, one_day, read):
    product = '[{"productId":7,"productName":"Sauce","price":100.990,"quantity":2,"skuCode":"a"}]'
    serve(sim, day(NESTED.replace('"product":[]', f'"product":{product}')))
    assert read(one_day).rows()[0]["products"] == [
        {"product_id": "7", "product_name": "Sauce", "price": "100.990", "quantity": 2, "sku_code": "a"}
    ]


def test_fields_that_no_schema_knows_are_kept_under_their_snake_case_names(sim, one_day, read):
    row = json.loads(NESTED)
    row["brandNew"] = {"x": [1, None]}
    row["click"]["browserName"] = "Firefox"
    row["click"]["linkUtmInfo"]["utmId"] = "u"
    serve(sim, day(json.dumps(row)))
    assert read(one_day).rows() == [
        {**EXPECTED, "brand_new": {"x": [1, None]}, "browser_name": "Firefox", "link_utm_id": "u"}
    ]


def test_names_that_collide_when_flattened_all_stay():
    row = json.loads(NESTED)
    row["account"]["name"], row["merchant"]["name"], row["click"]["name"] = "a", "m", "c"
    row["account_id"], row["accountID"], row["transactionKey"] = "x", "y", "z"
    record = transaction(row)
    assert {name: record[name] for name in EXPECTED} == {**EXPECTED, "publisher_net_revenue": 0.0075}
    others = {name: value for name, value in record.items() if name not in EXPECTED}
    assert others == {
        "account_id_2": "x", "account_id_3": "y", "transaction_key_2": "z",
        "name": "a", "click_name": "c", "merchant_name": "m",
    }  # fmt: skip


def test_a_field_given_twice_with_two_values_keeps_both():
    record = transaction({"revenueId": "1", "publisherNetRevenue": "1.10", "publisherRevenue": "1.20"})
    assert (record["publisher_net_revenue"], record["publisher_revenue"]) == ("1.10", "1.20")


def test_missing_and_null_groups_leave_nulls():
    record = transaction({"commission": {"revenueId": "1"}, "click": None, "account": None, "linkUtmInfo": None})
    assert set(record) == set(FIELDS)
    assert {name: value for name, value in record.items() if value is not None} == {
        "revenue_id": "1",
        "transaction_key": "1:",
    }


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"revenueId": "1", "commissionId": "2"}, "1:2"),
        ({"revenueId": 1, "commissionId": None}, "1:"),
        ({"revenueId": None, "commissionId": "2"}, ":2"),
        ({"revenueId": "a:b", "commissionId": "c"}, "a%3Ab:c"),
        ({"revenueId": "a", "commissionId": "b:c"}, "a:b:c"),
        ({"revenueId": "", "commissionId": "", "clickId": "k"}, "::k"),
    ],
)
def test_the_key_is_one_text_that_two_rows_never_share(row, key):
    assert transaction(row)["transaction_key"] == key


def test_codes_of_the_flat_shape_become_names():
    record = transaction({"revenueId": "1", "affProduct": "TPA", "deviceType": "UKN"})
    assert (record["sovrn_product"], record["sovrn_product_code"], record["device"]) == ("Product API", "TPA", None)
    assert transaction({"revenueId": "1", "affProduct": "NEW"})["sovrn_product"] == "NEW"


def test_unpaired_surrogates_do_not_end_the_run(sim, one_day, read):
    serve(sim, day(NESTED.replace("Awesome Stuff", "A\\ud83d \\ud83d\\ude00")))
    assert read(one_day).rows()[0]["campaign_name"] == "A\ufffd \U0001f600"


def test_rows_that_share_a_key_are_all_emitted_with_a_warning(sim, one_day, read, caplog):
    serve(sim, day(NESTED, NESTED))
    assert len(read(one_day).rows()) == 2
    assert "1 transactions of this day share revenue id and commission id" in caplog.text


def test_rows_without_a_revenue_are_emitted_with_a_warning(sim, one_day, read, caplog):
    serve(sim, day(NESTED.replace("publisherNetRevenue", "newName")))
    assert read(one_day).rows()[0]["new_name"] == "0.0075"
    assert "1 of 1 transactions of this day have no publisher revenue" in caplog.text


def test_every_record_keeps_its_schema(sim, config, read):
    sim.sovrn.generate(transactions=300, days=20, later_days=0)
    sim.switch("sovrn.shape", "mixed")
    config = {**config, "start_date": "2026-01-10", "end_date": "2026-01-31"}
    outcome = read(config, "transactions", "campaigns", "merchants_by_date")
    for stream in SourceSovrn(config=config).discover(LOGGER, config).streams:
        rows = outcome.rows(stream.name)
        assert rows
        for row in rows:
            Draft7Validator(stream.json_schema).validate(row)
            assert set(row) <= set(stream.json_schema["properties"])
            if stream.name == "transactions":
                assert list(row) == list(FIELDS)


def test_the_totals_have_their_key_in_one_column_and_exact_amounts(sim, config, read):
    fill(sim)
    rows = read(config, "merchants_by_date").rows("merchants_by_date")
    assert [row["merchant_day_key"] for row in rows] == [f"2026-01-0{n}:56789" for n in (1, 2, 3)]
    assert rows[0]["revenue"] == "0.0375"
    assert isinstance(rows[0]["merchant_group_id"], str)


def test_the_totals_are_the_sums_of_the_transactions(sim, config, read):
    from decimal import Decimal

    sim.sovrn.generate(transactions=300, days=20, later_days=0)
    config = {**config, "start_date": "2026-01-12", "end_date": "2026-01-31", "date_type": "click_date"}
    outcome = read(config, "transactions", "merchants_by_date")
    summed: dict[str, Decimal] = {}
    for row in outcome.rows():
        key = f"{row['click_date']}:{row['merchant_group_id']}"
        summed[key] = summed.get(key, Decimal(0)) + Decimal(row["publisher_net_revenue"])
    totals = {row["merchant_day_key"]: Decimal(row["revenue"]) for row in outcome.rows("merchants_by_date")}
    assert totals == summed != {}


def test_titles_and_urls_of_clicks_have_columns_of_their_own(sim, one_day, read):
    serve(sim, day(FLAT.replace('"country"', '"pageTitle":"Best Sauces","clickUrl":"https://s.example/c","country"')))
    (row,) = read(one_day).rows()
    assert (row["page_title"], row["click_url"]) == ("Best Sauces", "https://s.example/c")


def test_campaigns_come_once_over_all_pages(sim, config, read):
    held = sim.sovrn.campaigns(*({"campaign_id": n, "name": f"site {n}"} for n in range(1, 251)))
    ids = [int(row["campaign_id"]) for row in read(config, "campaigns").rows("campaigns")]
    assert sorted(ids) == sorted(row["campaignId"] for row in held)


def test_the_other_streams_keep_what_they_do_not_know():
    assert campaign({"campaignId": 7, "newField": 1}) == {"campaign_id": "7", "new_field": 1}
    assert merchant_day({"date": "2026-01-01", "merchantGroupId": 5, "revenue": 3, "rpm": "0.10"}) == {
        "merchant_day_key": "2026-01-01:5", "date": "2026-01-01", "merchant_group_id": "5", "revenue": "3",
        "rpm": "0.10",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "snake"),
    [("accountId", "account_id"), ("clickSID", "click_sid"), ("URLPath", "url_path"), ("a b-c", "a_b_c"),
     ("", "unnamed"), ("utm2Source", "utm2_source")],
)  # fmt: skip
def test_names_in_snake_case(name, snake):
    assert snake_case(name) == snake


def test_a_number_as_an_id_is_whole_and_a_text_stays_as_it_is():
    record = transaction({"revenueId": "A.0", "commissionId": "12.0", "clickId": "K.0", "cuid": "5.0", "accountId": 7})
    kept = {name: record[name] for name in ("revenue_id", "commission_id", "click_id", "cuid", "account_id")}
    assert kept == {"revenue_id": "A.0", "commission_id": "12", "click_id": "K.0", "cuid": "5.0", "account_id": "7"}
    assert transaction({"revenueId": "1", "cuid": "site_v2.0"})["cuid"] == "site_v2.0"
    assert transaction({"revenueId": "1", "cuid": 5})["cuid"] == "5"
