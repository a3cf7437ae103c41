"""All tables of a ledger, including those that modules of this package declare in a `MetaData` of their own."""

from __future__ import annotations

from sqlalchemy import Table

from destination_wicked_reports.ledger import contact_answers, order_documents, record_times, sale_totals, schema

TABLES: tuple[Table, ...] = tuple(
    table
    for module in (schema, sale_totals, order_documents, record_times, contact_answers)
    for table in module.metadata.sorted_tables
)
