"""What a user can say in the mapping `custom`: which stream feeds which endpoint, and an expression per field.

The fields are listed in the JSON schema by name, so that a form can show them; which of them an endpoint has, and
whether an expression can work, is checked with its place named in `normalizers/custom.py`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from destination_wicked_reports.api.endpoints import ENDPOINTS


def _field_properties() -> dict[str, Any]:
    """Return a text input per field of any endpoint; its description says of which, and where it is required."""
    users: dict[str, list[str]] = {}
    for endpoint in ENDPOINTS.values():
        for field in endpoint.fields:
            need = " (required)" if field.need.name == "REQUIRED" else ""
            users.setdefault(field.name, []).append(f"{endpoint.name}{need}")
    return {
        name: {"title": name, "type": "string", "description": f"JMESPath. Of {', '.join(endpoints)}."}
        for name, endpoints in users.items()
    }


class CustomStream(BaseModel):
    """One entry: a stream, an endpoint, and how each row is made. A stream may have several entries."""

    model_config = ConfigDict(title="Stream", extra="forbid")

    stream: str = Field(
        title="Stream", description="The name of the source's stream.", examples=["invoices"], min_length=1
    )
    namespace: str = Field(
        default="",
        title="Namespace",
        description="Only the stream of this namespace. Empty: of every namespace.",
    )
    endpoint: Literal["products", "contacts", "orders", "order_items", "order_payments", "clicks", "marketing"] = Field(
        title="Endpoint", description="Where the rows go in Wicked Reports."
    )
    for_each: str = Field(
        default="",
        title="For Each",
        description="A JMESPath expression that gives a list: one row per element. The other expressions then see "
        "`item`, `position` (1, 2, 3, …) and `record`.",
        examples=["lines"],
    )
    filter: str = Field(
        default="",
        title="Filter",
        description="A JMESPath expression; rows for which it gives false, null or something empty are left out.",
        examples=["status == 'paid'"],
    )
    fields: dict[str, str] = Field(
        title="Fields",
        description="A JMESPath expression per field of Wicked's. A constant stands in single quotes: 'shop'. Besides "
        "JMESPath's own functions there are utc, money, lower, concat, regex and coalesce.",
        examples=[{"SourceSystem": "'shop'", "SourceID": "id", "Email": "lower(email)"}],
        json_schema_extra={"properties": _field_properties()},
        min_length=1,
    )


class CustomMapping(BaseModel):
    """Any stream to any endpoint, by expressions."""

    model_config = ConfigDict(title="Custom", extra="forbid")

    type: Literal["custom"] = "custom"
    streams: list[CustomStream] = Field(title="Streams", description="One entry per stream and endpoint.", min_length=1)
