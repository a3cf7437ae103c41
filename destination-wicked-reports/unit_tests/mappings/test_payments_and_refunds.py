"""Payments and refunds of affiliate orders."""

from __future__ import annotations

from decimal import Decimal

from destination_wicked_reports.mappings.payments_and_refunds import apply_payment, next_payment
from destination_wicked_reports.model import OrderState


def test_a_payment_leads_to_the_state_it_was_computed_for():
    state = OrderState(total=Decimal(10), approved=Decimal(10), status="APPROVED", payments=1, currency="USD")
    payment = next_payment(state, Decimal(4), None)
    assert payment == ("PARTIALLY REFUNDED", Decimal(6))
    assert apply_payment(state, *payment).net == 4
    assert next_payment(apply_payment(state, *payment), Decimal(4), None) is None
