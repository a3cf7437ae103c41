"""Orders carry the address of their contact, or wait for it, and no answer about another person ever counts."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar

import pytest
from builders import sovrn as sovrn_builders
from builders.affiliate import BY_USER, SALE_KEY, Book, bodies, feed, finish, transaction
from builders.wicked import Wicked
from destination_wicked_reports.api.contacts import Contact
from destination_wicked_reports.config.mappings import SovrnMapping, WecantrackMapping
from destination_wicked_reports.delivery.tally import identified_by
from destination_wicked_reports.mappings.affiliate.base import NO_ADDRESS
from destination_wicked_reports.mappings.affiliate.contact_lookup import FileLookup, WickedLookup
from destination_wicked_reports.mappings.affiliate.sovrn import SovrnNormalizer
from destination_wicked_reports.mappings.affiliate.wecantrack import WecantrackNormalizer
from destination_wicked_reports.model import ADDRESS, ID_ALONE, LAST_SEQUENCE, Reject, Row, Stored, Waiting

DAY = 86_400
CRM = "crm"


class Directory:
    """Wicked's contacts: what `GET /contacts/{id}` answers, by the id asked for."""

    requests_per_minute = 120

    def __init__(self, **contacts: str) -> None:
        self.contacts = {name: Contact(name, CRM, email) for name, email in contacts.items()}
        self.asked: list[str] = []

    def get(self, contact_id: str, progress: str = "") -> Contact | None:
        self.asked.append(contact_id)
        return self.contacts.get(contact_id)


class Desk:
    """Runs of one mapping with one ledger, a directory and a clock."""

    def __init__(self, durable: bool = True, **settings: Any) -> None:
        self.book, self.wicked, self.directory = Book(), Wicked(), Directory()
        self.now, self.durable = 1_720_000_000.0, durable
        keep = settings.pop("keep", "address")
        settings = {"contact_rules": [BY_USER], "contact_source_system": CRM, **settings}
        lookup = {"type": "wicked", "keep": keep}
        self.mapping = WecantrackMapping(**{"contact_lookup": lookup, **settings})
        self.notes: list[str] = []

    def run(self, *transactions: dict[str, Any], mapping: WecantrackMapping | None = None) -> list[Any]:
        """One run; return what it makes, that of the end of the input included."""
        mapping = mapping or self.mapping
        lookup = WickedLookup(mapping, self.directory, mapping.contact_lookup.keep, lambda: self.now)
        normalizer = WecantrackNormalizer(mapping, lookup, durable=self.durable)
        made = feed(normalizer, self.book, *transactions) if transactions else []
        made += finish(normalizer, self.book)
        self.wicked.take(made)
        self.notes = list(normalizer.notes())
        return [one for one in made if not isinstance(one, Stored)]

    def days_pass(self, days: float) -> None:
        self.now += days * DAY


def contacts(made: list[Any]) -> list[tuple[str, str]]:
    return [(order.get("ContactID", ""), order.get("ContactEmail", "")) for order in bodies(made, "orders")]


def later(amount: str, day: int, **changes: Any) -> dict[str, Any]:
    """A later version of the sale."""
    return transaction(commission_amount=amount, last_wct_update=f"2024-06-{day:02} 10:00:00", **changes)


def returned(amount: str, **changes: Any) -> dict[str, Any]:
    """A negative row of the sale."""
    return later(amount, 20, **{"transaction_id": "R1", "status": "approved", **changes})


def address_found() -> dict[str, Contact]:
    return {"U42": Contact("U42", CRM, "ann@example.com")}


class TestFirstOrder:
    def test_it_carries_the_id_and_the_address(self):
        desk = Desk()
        desk.directory.contacts = address_found()
        made = desk.run(transaction())
        assert contacts(made) == [("U42", "ann@example.com")]
        assert [identified_by(row.body) for row in made if isinstance(row, Row) and row.endpoint == "orders"] == [
            ADDRESS
        ]

    def test_each_contact_is_asked_for_once(self):
        desk = Desk()
        desk.directory.contacts = address_found()
        made = desk.run(*(transaction(transaction_id=f"T{number}") for number in range(5)))
        assert contacts(made) == [("U42", "ann@example.com")] * 5
        desk.days_pass(29)
        desk.run(transaction(transaction_id="T6"))
        assert desk.directory.asked == ["U42"]

    def test_after_contact_lookup_days_it_is_asked_for_again_and_the_old_answer_is_deleted(self):
        desk = Desk()
        desk.directory.contacts = address_found()
        desk.run(transaction())
        desk.days_pass(30)
        desk.run()
        assert desk.book.contact_answers.load(CRM, ["U42"]) == {}
        desk.run(transaction(transaction_id="T2"))
        assert desk.directory.asked == ["U42", "U42"]

    @pytest.mark.parametrize(
        "answer",
        [
            Contact("other", CRM, "bob@example.com"),  # a Wicked id that equals the id of the CRM
            Contact("U42", "shop", "bob@example.com"),  # an id of another system
            Contact("U42", "CRM", "bob@example.com"),
            Contact("u42", CRM, "bob@example.com"),
            Contact("", "", "bob@example.com"),
            Contact("U42", CRM, ""),
            Contact("U42", CRM, "no address"),
        ],
    )
    def test_an_answer_about_somebody_else_does_not_count(self, answer):
        desk = Desk(contact_lookup_wait_days=0)
        desk.directory.contacts = {"U42": answer}
        made = desk.run(transaction())
        assert contacts(made) == [("U42", "")]
        assert [identified_by(row.body) for row in made if isinstance(row, Row) and row.endpoint == "orders"] == [
            ID_ALONE
        ]

    def test_the_user_hears_that_contacts_are_under_another_system(self):
        desk = Desk(contact_lookup_wait_days=0)
        desk.directory.contacts = {"U42": Contact("U42", "shop", "bob@example.com")}
        desk.run(transaction())
        assert any("'shop'" in note and "'crm'" in note for note in desk.notes)
        assert not any("bob" in note or "U42" in note for note in desk.notes)

    def test_a_record_with_an_address_is_not_looked_up(self):
        rule = {"field": "sub_ids.*", "pattern": "^(?P<contact_id>U[0-9]+)-(?P<email>[^ ]+@[^ ]+)$"}
        desk = Desk(contact_rules=[rule])
        assert contacts(desk.run(transaction(sub_ids={"a": "U42-ann@example.com"}))) == [("U42", "ann@example.com")]
        assert desk.directory.asked == []

    def test_without_a_durable_ledger_it_leaves_at_once(self):
        desk = Desk(durable=False)
        assert contacts(desk.run(transaction())) == [("U42", "")]
        desk.directory.contacts = {"U43": Contact("U43", CRM, "eve@example.com")}
        assert contacts(desk.run(transaction(transaction_id="T2", sub_ids={"a": "U43-x"}))) == [
            ("U43", "eve@example.com")
        ]


class TestWaiting:
    def test_a_contact_that_appears_a_day_late_is_found_though_the_record_does_not_come_again(self):
        desk = Desk()
        assert desk.run(transaction()) == [Waiting(NO_ADDRESS, LAST_SEQUENCE)]
        desk.directory.contacts = address_found()
        desk.days_pass(1)
        assert contacts(desk.run()) == [("U42", "ann@example.com")]
        assert desk.run() == []
        assert desk.run(transaction()) == []

    def test_an_id_that_is_not_found_is_not_asked_for_again_for_some_hours(self):
        desk = Desk()
        desk.run(transaction())
        desk.days_pass(0.2)
        assert desk.run() == [Waiting(NO_ADDRESS, LAST_SEQUENCE)]
        assert desk.directory.asked == ["U42"]
        desk.days_pass(0.1)
        desk.run()
        assert desk.directory.asked == ["U42", "U42"]

    def test_after_the_wait_the_order_leaves_with_the_id_alone(self):
        desk = Desk()
        desk.run(transaction())
        desk.days_pass(2)
        # a later version does not start the wait again
        assert desk.run(later("11.00", 1)) == [Waiting(NO_ADDRESS, LAST_SEQUENCE)]
        desk.days_pass(1)
        assert contacts(desk.run()) == [("U42", "")]
        assert desk.wicked.nets() == (11, 11)

    def test_the_stored_record_is_deleted_once_the_order_is_found_sent(self):
        desk = Desk()
        desk.run(transaction())
        desk.directory.contacts = address_found()
        desk.days_pass(1)
        desk.run()
        desk.run()
        totals = desk.book.sale_totals
        totals.load([SALE_KEY], [SALE_KEY], [])
        assert totals.total(SALE_KEY).facts == b"{}"

    def test_a_sale_that_is_declined_while_it_waits_is_never_sent(self):
        desk = Desk()
        desk.run(transaction())
        desk.run(later("10.00", 1, status="declined"))
        desk.directory.contacts = address_found()
        desk.days_pass(5)
        assert desk.run() == []
        assert contacts(desk.run(later("10.00", 2, status="approved"))) == [("U42", "ann@example.com")]

    @pytest.mark.parametrize("amount", ["4.00", "17.50"])
    def test_it_leaves_with_what_it_is_worth_then(self, amount):
        desk = Desk()
        desk.run(transaction())
        desk.run(later(amount, 1))
        desk.directory.contacts = address_found()
        desk.days_pass(1)
        assert len(bodies(desk.run(), "orders")) == 1
        assert [f"{net:.2f}" for net in desk.wicked.nets()] == [amount] * 2

    @pytest.mark.parametrize("together", [True, False], ids=["in one run", "in two runs"])
    def test_a_return_reduces_the_sale_that_waits(self, together):
        desk = Desk()
        runs = [[transaction(), returned("-4.00")]] if together else [[transaction()], [returned("-4.00")]]
        for records in runs:
            assert not [one for one in desk.run(*records) if isinstance(one, Reject)]
        desk.directory.contacts = address_found()
        desk.days_pass(1)
        desk.run()
        assert desk.wicked.nets() == (6, 6)
        desk.run(returned("-4.00"), later("10.00", 21))
        assert desk.wicked.nets() == (6, 6)

    def test_a_return_of_everything_leaves_nothing_to_send(self):
        desk = Desk()
        desk.run(transaction(), returned("-10.00"))
        desk.directory.contacts = address_found()
        desk.days_pass(1)
        assert desk.run() == []
        desk.run({**returned("-3.00"), "last_wct_update": "2024-06-25 10:00:00"})
        assert desk.wicked.nets() == (7, 7)

    def test_without_a_lookup_in_a_later_run_it_leaves_with_the_id(self):
        desk = Desk()
        desk.run(transaction())
        normalizer = WecantrackNormalizer(WecantrackMapping(contact_rules=[BY_USER]))
        assert contacts(finish(normalizer, desk.book)) == [("U42", "")]

    def test_it_keeps_the_currency_in_which_it_was_read_although_the_setting_changed(self):
        desk = Desk()
        read = transaction(currency_id="USD", commission_amount="10.00", commission_amount_euro="9.00")
        desk.run(read)
        desk.directory.contacts = address_found()
        desk.days_pass(1)
        euro = desk.mapping.model_copy(update={"currency": "euro"})
        (order,) = bodies(desk.run(mapping=euro), "orders")
        assert (order["OrderTotal"], order["OrderCurrency"]) == (10, "USD")
        made = desk.run(read, mapping=euro)
        assert [(payment["Amount"], payment["Status"]) for payment in bodies(made, "order_payments")] == [
            (10, "REFUNDED")
        ]
        (order,) = bodies(made, "orders")
        assert (order["OrderTotal"], order["OrderCurrency"]) == (9, "EUR")

    def test_an_order_that_did_not_arrive_is_made_again(self):
        desk = Desk()
        desk.run(transaction())
        desk.directory.contacts = address_found()
        desk.days_pass(1)
        lookup = WickedLookup(desk.mapping, desk.directory, "address", lambda: desk.now)
        assert contacts(list(WecantrackNormalizer(desk.mapping, lookup).finish(desk.book))) == [
            ("U42", "ann@example.com")
        ]
        assert contacts(desk.run()) == [("U42", "ann@example.com")]


class TestFurtherOrders:
    def test_an_address_that_is_found_later_is_added(self):
        desk = Desk(contact_lookup_wait_days=0)
        desk.run(transaction())
        desk.directory.contacts = address_found()
        desk.days_pass(1)
        assert contacts(desk.run(later("12.00", 1))) == [("U42", "ann@example.com")]

    def test_they_carry_the_contact_of_the_first_order_whatever_the_rules_find_now(self):
        desk = Desk()
        desk.directory.contacts = address_found()
        desk.run(transaction())
        other = WecantrackMapping(
            contact_rules=[{"field": "advertiser_id", "pattern": "(?P<contact_id>.+)"}],
            contact_lookup={"type": "wicked"},
            contact_source_system=CRM,
        )
        desk.directory.contacts = {"A1": Contact("A1", CRM, "shop@example.com")}
        assert contacts(desk.run(later("12.00", 1), mapping=other)) == [("U42", "ann@example.com")]

    def test_an_address_of_somebody_else_is_not_added(self):
        desk = Desk(contact_lookup_wait_days=0)
        desk.run(transaction())
        rule = {"field": "sub_ids.*", "pattern": "^(?P<contact_id>U[0-9]+)-(?P<email>[^ ]+@[^ ]+)$"}
        other = WecantrackMapping(contact_rules=[rule], contact_lookup={"type": "wicked"}, contact_source_system=CRM)
        made = desk.run(later("12.00", 1, sub_ids={"a": "U43-bob@example.com"}), mapping=other)
        assert contacts(made) == [("U42", "")]

    def test_a_refund_asks_for_nobody(self):
        desk = Desk(contact_lookup_wait_days=0)
        desk.run(transaction())
        desk.directory.asked.clear()
        desk.days_pass(1)
        desk.run(later("2.00", 1))
        assert desk.directory.asked == []


class TestWhatTheLedgerKeeps:
    @pytest.mark.parametrize("keep", ["hash", "memory"])
    def test_no_address_is_stored_and_further_orders_carry_it(self, keep):
        desk = Desk(keep=keep)
        desk.directory.contacts = address_found()
        assert contacts(desk.run(transaction())) == [("U42", "ann@example.com")]
        state = desk.book.state()
        assert (state.contact_id, state.contact_email, bool(state.contact_hash)) == ("U42", "", keep == "hash")
        assert desk.book.contact_answers.load(CRM, ["U42"]) == {}
        assert contacts(desk.run(later("12.00", 1))) == [("U42", "ann@example.com")]
        assert desk.book.state().contact_email == ""

    @pytest.mark.parametrize(("keep", "carried"), [("address", "ann@"), ("hash", ""), ("memory", "new@")])
    def test_a_changed_address(self, keep, carried):
        desk = Desk(keep=keep)
        desk.directory.contacts = address_found()
        desk.run(transaction())
        desk.directory.contacts = {"U42": Contact("U42", CRM, "new@example.com")}
        ((_, email),) = contacts(desk.run(later("12.00", 1)))
        assert email == (f"{carried}example.com" if carried else "")


class TestSovrn:
    RULES: ClassVar[dict[str, Any]] = {
        "contact_rules": [sovrn_builders.BY_CUID],
        "contact_lookup": {"type": "wicked"},
        "contact_source_system": CRM,
    }

    def desk(self, **rules: Any) -> Any:
        book, directory, mapping = Book(), Directory(), SovrnMapping(**{**self.RULES, **rules})
        clock = [1_720_000_000.0]

        def run(*records: dict[str, Any]) -> list[Any]:
            lookup = WickedLookup(mapping, directory, "address", lambda: clock[0])
            normalizer = SovrnNormalizer(mapping, lambda: date(2024, 7, 1), lookup)
            made = feed(normalizer, book, *records) if records else []
            return [one for one in made + finish(normalizer, book) if not isinstance(one, Stored)]

        return run, directory, clock

    def test_it_waits_and_leaves_with_the_address(self):
        run, directory, clock = self.desk()
        assert run(sovrn_builders.transaction()) == [Waiting(NO_ADDRESS, LAST_SEQUENCE)]
        clock[0] += DAY
        assert run(sovrn_builders.transaction("12.00", update_date="2024-06-25")) == [
            Waiting(NO_ADDRESS, LAST_SEQUENCE)
        ]
        directory.contacts = address_found()
        clock[0] += DAY
        made = run(sovrn_builders.taken_back("-5.00", update_date="2024-06-26"))
        assert contacts(made) == [("U42", "ann@example.com")]
        assert bodies(made, "orders")[0]["OrderTotal"] == 7
        assert run() == []

    def test_a_sale_that_falls_to_zero_while_it_waits_is_not_sent(self):
        run, directory, clock = self.desk()
        run(sovrn_builders.transaction())
        run(sovrn_builders.taken_back("-10.00"))
        directory.contacts = address_found()
        clock[0] += 5 * DAY
        assert run() == []

    def test_after_the_wait_it_leaves_with_the_id_alone(self):
        run, _, clock = self.desk()
        run(sovrn_builders.transaction())
        clock[0] += 3 * DAY
        assert contacts(run()) == [("U42", "")]

    def test_a_cpc_order_waits_too(self):
        rule = {"field": "page_utm_campaign", "pattern": "(?P<contact_id>.+)"}
        run, directory, clock = self.desk(cpc="rollup", contact_rules=[rule])
        assert run(sovrn_builders.click(1, "0.5")) == [Waiting(NO_ADDRESS, LAST_SEQUENCE)]
        clock[0] += 2 * DAY
        assert run(sovrn_builders.click(2, "0.5")) == [Waiting(NO_ADDRESS, LAST_SEQUENCE)]
        directory.contacts = {"may": Contact("may", CRM, "may@example.com")}
        clock[0] += DAY / 2
        made = run()
        assert contacts(made) == [("may", "may@example.com")]
        assert bodies(made, "orders")[0]["OrderTotal"] == 1
        assert run() == []


def test_the_file_lookup_waits_for_a_newer_file(tmp_path):
    path = tmp_path / "contacts.csv"
    path.write_text("contact_id,email\nU1,a@example.com\n")
    mapping = WecantrackMapping(contact_rules=[BY_USER], contact_lookup={"type": "file", "path": str(path)})
    book = Book()

    def run(*records: dict[str, Any]) -> list[Any]:
        normalizer = WecantrackNormalizer(mapping, FileLookup(mapping, str(path), "address"))
        return (feed(normalizer, book, *records) if records else []) + finish(normalizer, book)

    first = transaction(transaction_id="T0", sub_ids={"a": "U1-x"})
    made = run(first, transaction())
    assert contacts(made) == [("U1", "a@example.com")]
    assert made[-1] == Waiting(NO_ADDRESS, LAST_SEQUENCE)
    path.write_text("contact_id,email\nU42,ann@example.com\n")
    assert contacts(run()) == [("U42", "ann@example.com")]
    assert run() == []
