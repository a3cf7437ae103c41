"""What several models of the configuration share: their settings, and types of fields."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ConfigDict

from destination_wicked_reports.config.files import check_path

#: The pattern of a name without spaces.
NO_SPACES = r"^\S+$"
#: The absolute path of a file; see `check_path`.
FilePath = Annotated[str, AfterValidator(check_path)]


def variant(title: str) -> ConfigDict:
    """Return the model settings of one variant of a `oneOf`; `type` selects the variant."""
    return ConfigDict(title=title, extra="forbid", frozen=True)
