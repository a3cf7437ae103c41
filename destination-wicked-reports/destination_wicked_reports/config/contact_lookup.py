"""The setting `contact_lookup` of the affiliate mappings: where to find the email address of a contact id."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from destination_wicked_reports.config.fields import FilePath, variant

_KEEP = (
    "What the ledger stores of an address that was found. `address`: the address, so that it is looked up once. "
    "`hash`: a hash of it; the address is looked up again in each run that needs it, and a further order carries it "
    "only if it has not changed. `memory`: nothing; the address is looked up again, and a further order carries what "
    "is found then."
)
Keep = Annotated[Literal["address", "hash", "memory"], Field(title="Keep", description=_KEEP)]


class NoLookup(BaseModel):
    """Sends the contact ids that the rules find as they are."""

    model_config = variant("None")

    type: Literal["none"] = "none"


class FileLookup(BaseModel):
    """Finds addresses in a file with contact ids and addresses, such as an export of your CRM."""

    model_config = variant("File")

    type: Literal["file"] = "file"
    path: FilePath = Field(
        title="Path",
        description="A CSV file with a header, or JSON lines, as an absolute path. The columns are `contact_id` (or "
        "`id`) and `email`; others are ignored.",
        examples=["/local/wicked-reports/contacts.csv"],
        min_length=1,
    )
    keep: Keep = "address"


class WickedLookup(BaseModel):
    """Asks Wicked Reports' Outbound API for each contact. The account needs the Outbound API."""

    model_config = variant("Wicked Reports")

    type: Literal["wicked"] = "wicked"
    keep: Keep = "address"
    requests_per_minute: int = Field(
        default=120,
        ge=1,
        le=100_000,
        title="Requests per Minute",
        description="The Outbound API's documented limit is 120 requests per minute. Lower it if other programs read "
        "the same account at the same time.",
        json_schema_extra={"airbyte_hidden": True},
    )


ContactLookup = Annotated[NoLookup | FileLookup | WickedLookup, Field(discriminator="type")]
