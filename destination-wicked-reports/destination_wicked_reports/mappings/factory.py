"""Creates the normalizer for the configured mapping.

Only the configured mapping is imported: importing all of them takes a tenth of the time to start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from destination_wicked_reports.config.contact_lookup import FileLookup as FileLookupConfig
from destination_wicked_reports.config.contact_lookup import NoLookup
from destination_wicked_reports.config.mappings import (
    AffiliateMapping,
    BigcommerceMapping,
    CustomMapping,
    NativeMapping,
    SovrnMapping,
    WecantrackMapping,
)
from destination_wicked_reports.config.spec import Config, NoLedger
from destination_wicked_reports.errors import ConfigurationError, MappingError
from destination_wicked_reports.mappings.base import Normalizer

if TYPE_CHECKING:
    from destination_wicked_reports.mappings.affiliate.contact_lookup import ContactLookup


def _reject_unknown(mapping: NoReturn) -> NoReturn:
    """Fail for a mapping without a branch; mypy fails too, since it then infers a type other than NoReturn.

    `typing.assert_never` does the same, but needs Python 3.11.
    """
    raise AssertionError(f"no normalizer for the mapping {type(mapping).__name__}")


def make_lookup(config: Config) -> ContactLookup | None:
    """Return the configured lookup of contacts, None without one."""
    mapping = config.mapping
    if not isinstance(mapping, AffiliateMapping) or isinstance(mapping.contact_lookup, NoLookup):
        return None
    from destination_wicked_reports.mappings.affiliate.contact_lookup import FileLookup, WickedLookup

    lookup = mapping.contact_lookup
    if isinstance(lookup, FileLookupConfig):
        return FileLookup(mapping, lookup.path, lookup.keep)
    from destination_wicked_reports.api.contacts import ContactApi  # its imports take a second

    api = ContactApi(config.api_url, config.api_key, lookup.requests_per_minute)
    return WickedLookup(mapping, api, lookup.keep)


def make_normalizer(config: Config) -> Normalizer:
    """Return the normalizer of the configured mapping; raises ConfigurationError for settings that cannot work."""
    mapping, has_ledger = config.mapping, not isinstance(config.ledger, NoLedger)
    if isinstance(mapping, NativeMapping):
        from destination_wicked_reports.mappings.native import NativeNormalizer

        return NativeNormalizer()
    if isinstance(mapping, WecantrackMapping):
        from destination_wicked_reports.mappings.affiliate.wecantrack import WecantrackNormalizer

        return WecantrackNormalizer(mapping, make_lookup(config), durable=has_ledger)
    if isinstance(mapping, SovrnMapping):
        from destination_wicked_reports.mappings.affiliate.sovrn import SovrnNormalizer

        if mapping.cpc == "rollup" and not has_ledger:
            raise ConfigurationError(
                "mapping: cpc `rollup` needs a ledger, which stores the rows until their day is complete. Choose a "
                "ledger other than `none`, or set cpc to `skip`."
            )
        return SovrnNormalizer(mapping, lookup=make_lookup(config), durable=has_ledger)
    if isinstance(mapping, BigcommerceMapping):
        from destination_wicked_reports.mappings.bigcommerce.normalizer import BigcommerceNormalizer

        return BigcommerceNormalizer(mapping, durable=has_ledger)
    if isinstance(mapping, CustomMapping):
        from destination_wicked_reports.mappings.custom.normalizer import CustomNormalizer

        try:
            return CustomNormalizer(mapping.streams)
        except MappingError as error:
            raise ConfigurationError(f"Invalid configuration. {error}") from None
    _reject_unknown(mapping)
