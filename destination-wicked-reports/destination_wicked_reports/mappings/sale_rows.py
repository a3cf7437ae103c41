"""Builds the rows of a sale: orders with their payments, and refunds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from destination_wicked_reports.api.endpoints import ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.api.fields import Kind, checker
from destination_wicked_reports.api.rows import SEPARATOR, FieldChecker, RowMaker
from destination_wicked_reports.errors import BlankError, FieldError
from destination_wicked_reports.mappings.revenue import APPROVED, NewOrder, Refund, Step, order_name
from destination_wicked_reports.model import Row, SalePayment

#: Characters of a SourceID at Wicked (docs/vendors/wicked-reports.md 2.3), and those that `~` and a number may take.
_LONGEST_ID = 500
_ROOM_FOR_NUMBER = 8
_NUMBERED = re.compile(r"~[0-9]+\Z").search


def sale_id(source_id: str) -> str:
    """Return the SourceID of a sale's first order. Raises FieldError for an id that leaves no room for further orders.

    An id that itself ends in `~` and digits gets `~1` appended, so that no two sales share a name.
    """
    if len(source_id) > _LONGEST_ID - _ROOM_FOR_NUMBER:
        raise FieldError(
            "SourceID",
            f"longer than {_LONGEST_ID - _ROOM_FOR_NUMBER} characters, which leaves no room to name further orders",
        )
    return f"{source_id}~1" if _NUMBERED(source_id) else source_id


class SaleRowMaker:
    """Makes the rows of one source system. Every method raises FieldError for a value that Wicked would refuse."""

    def __init__(self, source_system: str) -> None:
        self._source_system = source_system
        self._orders = RowMaker(ORDERS)
        self._payments = RowMaker(ORDER_PAYMENTS)
        self._nested_payment = FieldChecker(ORDERS.nested["OrderPayments"])
        limits = {field.name: field.limit for field in ORDERS.nested["OrderItems"]}
        self._check_product_id = checker(Kind.TEXT, "ProductID", limits["ProductID"])

    def key(self, source_id: str) -> str:
        """Return the ledger's key of a sale."""
        return self._source_system + SEPARATOR + source_id

    def product_id(self, value: Any) -> str:
        """Return a product id as an order's line has it, "" for none."""
        if value is None or value == "":
            return ""
        try:
            return str(self._check_product_id(value))
        except BlankError:
            return ""

    def rows(self, key: str, steps: Iterable[Step], stream: str, sequence: int) -> Iterator[Row]:
        """Yield the row of each step, in the same order."""
        for step in steps:
            if isinstance(step, Refund):
                yield self.refund(key, step, stream, sequence)
            else:
                yield self.order(key, step, stream, sequence)

    def order(
        self,
        key: str,
        step: NewOrder,
        stream: str,
        sequence: int,
        *,
        fields: Mapping[str, Any] | None = None,
        lines: Sequence[Mapping[str, Any]] | None = None,
        refunds: Sequence[Refund] = (),
    ) -> Row:
        """Return an order with its line, its payment and `refunds` nested, so that all of it arrives or none.

        `fields` are further fields of a first order, `lines` its own lines in place of one for the total.
        """
        sale, name = step.sale, order_name(key.partition(SEPARATOR)[2], step.number)
        row = self._orders.check(
            {
                "SourceSystem": self._source_system,
                "SourceID": name,
                "CreateDate": sale.ordered_at,
                "ContactID": sale.contact_id,
                "ContactEmail": sale.contact_email,
                "OrderTotal": step.total,
                "OrderCurrency": sale.currency,
                **(fields or {}),
            }
        )
        # The line takes the order's own id: ids of transactions repeat in other accounts and in further orders.
        if lines is None:
            lines = [{"OrderItemID": name, "ProductID": sale.product_id, "Qty": 1, "PPU": row["OrderTotal"]}]
        if lines:
            row["OrderItems"] = list(lines)
        row["OrderPayments"] = [
            {"PaymentDate": step.paid_at, "Amount": row["OrderTotal"], "Status": APPROVED},
            *(
                self._nested_payment.check(
                    {"PaymentDate": refund.paid_at, "Amount": refund.amount, "Status": refund.status}
                )
                for refund in refunds
            ),
        ]
        payments = [SalePayment(step.number, APPROVED, step.total), *map(_sale_payment, refunds)]
        after = refunds[-1].sale if refunds else sale
        return self._orders.encode(row, stream, sequence, sale_key=key, sale=after, payments=tuple(payments))

    def refund(self, key: str, step: Refund, stream: str, sequence: int) -> Row:
        """Return the payment that takes money back."""
        row = self._payments.check(
            {
                "SourceSystem": step.sale.sent_as(step.number, self._source_system),
                "OrderID": order_name(key.partition(SEPARATOR)[2], step.number),
                "PaymentDate": step.paid_at,
                "Amount": step.amount,
                "Status": step.status,
            }
        )
        # Two equal payments are two: the version of the sale tells them apart.
        name, payments = f"{key}#{step.sale.version}", (_sale_payment(step),)
        return self._payments.encode(row, stream, sequence, name, sale_key=key, sale=step.sale, payments=payments)


def _sale_payment(refund: Refund) -> SalePayment:
    return SalePayment(refund.number, refund.status, refund.amount)
