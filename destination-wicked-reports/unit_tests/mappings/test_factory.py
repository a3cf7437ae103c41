"""The choice of a normalizer is complete."""

from __future__ import annotations

from typing import Any, Literal, get_args

import pytest
from destination_wicked_reports.config.mappings import CustomStream, Mapping, NativeMapping
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.mappings.factory import make_normalizer

MODELS = get_args(get_args(Mapping)[0])
#: The settings that a mapping needs in addition to its defaults.
REQUIRED: dict[str, dict[str, Any]] = {
    "custom": {
        "streams": [
            CustomStream(
                stream="ads",
                endpoint="marketing",
                fields={"Date_Time": "day", "Clicks": "clicks", "Cost": "cost", "AdId": "ad", "AccountId": "account"},
            )
        ]
    }
}


def config(mapping: Any) -> Config:
    return Config(api_key="k").model_copy(update={"mapping": mapping})


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_mapping_has_the_normalizer_of_its_own_name(model):
    kind = model.model_fields["type"].default
    normalizer = make_normalizer(config(model(**REQUIRED.get(kind, {}))))
    assert type(normalizer).__name__ == model.__name__.replace("Mapping", "Normalizer")


def test_a_mapping_without_a_branch_fails_instead_of_becoming_another_one():
    class ForgottenMapping(NativeMapping.__base__):
        type: Literal["forgotten"] = "forgotten"
        source_system: str = "forgotten"

    with pytest.raises(AssertionError, match="no normalizer for the mapping ForgottenMapping"):
        make_normalizer(config(ForgottenMapping()))
