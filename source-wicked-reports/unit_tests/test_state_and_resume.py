"""State and resume, late changes, validation of the configuration, and record cleaning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_wicked_reports.config import account_zone
from source_wicked_reports.records import click_identity, order

from .conftest import SUBJECT, fill, ids, windows


@pytest.mark.parametrize(("lookback", "first"), [(30, "2025-12-10"), (0, "2026-01-07"), (5, "2026-01-04")])
def test_a_resume_reads_from_the_state_less_the_lookback(lookback, first, sim, config, read):
    config = {**config, "start_date": "2025-10-01", "end_date": "2026-01-20", "lookback_days": lookback}
    outcome = read(config, state={"date": "2026-01-10"})
    assert windows(sim)[0][0] == first
    assert outcome.states()[-1] == {"date": "2026-01-20"}


def test_today_is_read_with_the_day_behind_it_and_read_again(sim, config, read):
    outcome = read({**config, "end_date": ""})
    assert windows(sim)[-1][1] == "2026-02-02"
    assert outcome.states()[-1] == {"date": "2026-02-01"}


def test_a_refund_within_the_lookback_comes_with_the_next_sync(sim, config, read):
    rows = fill(sim, refunded=0.0, unpaid=0.0)
    first = read(config)
    sim.outbound.mutate(after_page=1, kind="orders", change=60, place="window")
    read(config)
    second = read(config, state=first.states()[-1])
    assert ids(second.rows()) == ids(rows["orders"])
    sent = {row["id"]: [payment["amount"] for payment in row["payments"]] for row in second.rows()}
    assert sent == {row["id"]: [p["amount"] for p in row["payments"]] for row in sim.outbound.rows("orders")}
    assert any(0.01 in amounts for amounts in sent.values())


@pytest.mark.parametrize("cut", range(1, 7))
def test_a_run_cut_off_anywhere_and_run_again_gives_the_same_set(cut, sim, config, read):
    rows = fill(sim, start="2025-08-01", days=170)
    config = {**config, "start_date": "2025-08-01", "lookback_days": 0}
    sim.fault("status_401", "/orders", nth=cut, times=0)
    first = read(config)
    assert first.error is not None
    sim.clear_faults()
    second = read(config, state=first.states()[-1] if first.states() else None)
    assert set(first.keys()) | set(second.keys()) == ids(rows["orders"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"start_date": "2026-02-30"}, "start_date is not a valid date"),
        ({"start_date": "1901-01-01"}, "start_date is before 1970"),
        ({"end_date": "2025-01-01"}, "end_date is before start_date"),
        ({"account_time_zone": "Mars/Base"}, "account_time_zone is not a time zone"),
        ({"account_time_zone": "../etc/passwd"}, "account_time_zone is not a time zone"),
        ({"api_key": " "}, "The API key is empty"),
        ({"api_url": "http://elsewhere.example"}, "api_url must be an https URL"),
    ],
)
def test_a_wrong_setting_is_refused_before_a_request(wrong, message, sim, config):
    config = {**config, **wrong}
    status = SUBJECT.check(config)
    assert status.message.startswith(message)
    assert sim.requests() == []


@pytest.mark.parametrize("no_date", ["text", "null", "missing"])
def test_a_date_that_is_not_there_is_null_whatever_it_is_sent_as(no_date, sim, config, read):
    fill(sim, clicks=0)
    sim.switch("outbound.no_date", no_date)
    outcome = read(config, "contacts", "orders")
    dates = [row[name].get("date") for row in outcome.rows("contacts") for name in ("firstClick", "reOptin")]
    assert outcome.error is None
    assert set(dates) <= {None}
    assert outcome.rows("orders")


def test_dates_without_a_zone_stay_and_get_their_utc_next_to_them():
    zone = account_zone({})
    row = order(
        {
            "id": 5,
            "date": "2020-06-18T06:00:27.000Z",
            "payments": [{"date": "2020-06-18T02:00:27"}, {"date": "null"}],
            "attributions": {"firstClick": {"date": "2020-12-18T02:00:27"}, "reOptin": None},
        },
        zone,
    )
    assert (row["id"], row["date"]) == ("5", "2020-06-18T06:00:27.000Z")
    assert row["payments"][0] == {"date": "2020-06-18T02:00:27", "dateUtc": "2020-06-18T06:00:27Z"}
    assert row["payments"][1] == {"date": None, "dateUtc": None}
    assert row["attributions"]["firstClick"]["dateUtc"] == "2020-12-18T07:00:27Z"


TEXT = st.one_of(st.none(), st.text(max_size=5))
CLICK = st.fixed_dictionaries(
    {"contactId": TEXT, "date": TEXT, "trackingUrl": TEXT, "source": TEXT},
    optional={"utms": st.dictionaries(st.sampled_from(["source", "medium", "campaign", "content", "term"]), TEXT)},
)


@given(CLICK, st.booleans(), st.text(max_size=5))
def test_flags_addresses_and_field_order_do_not_change_a_clicks_identity(click, flag, email):
    other = dict(reversed([*click.items()])) | {"isLastClick": flag, "isReOptin": not flag, "email": email}
    assert click_identity(click) == click_identity(other)


@given(CLICK, st.sampled_from(["contactId", "date", "trackingUrl", "source"]), st.text(min_size=1, max_size=5))
def test_each_part_of_the_identity_counts(click, name, more):
    assert click_identity(click) != click_identity({**click, name: f"{click[name] or ''}{more}"})
