"""The normalizer that the configuration asks for."""

from __future__ import annotations

from destination_wicked_reports.config.mappings import BigcommerceMapping, CustomMapping, NativeMapping, SovrnMapping
from destination_wicked_reports.config.spec import Config, NoLedger
from destination_wicked_reports.errors import ConfigurationError, MappingError
from destination_wicked_reports.mappings.affiliate.base import AffiliateRules
from destination_wicked_reports.mappings.affiliate.contacts import ContactRule
from destination_wicked_reports.mappings.affiliate.sovrn import SovrnNormalizer
from destination_wicked_reports.mappings.affiliate.sovrn_records import SovrnRules
from destination_wicked_reports.mappings.affiliate.wecantrack import WecantrackNormalizer
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.mappings.bigcommerce.normalizer import BigcommerceNormalizer, BigcommerceRules
from destination_wicked_reports.mappings.bigcommerce.records import SubscriptionRule
from destination_wicked_reports.mappings.custom.normalizer import CustomNormalizer, StreamRule
from destination_wicked_reports.mappings.native import NativeNormalizer


def make_normalizer(config: Config) -> Normalizer:
    """Return the normalizer that the mapping names."""
    mapping = config.mapping
    if isinstance(mapping, NativeMapping):
        return NativeNormalizer()
    if isinstance(mapping, CustomMapping):
        try:
            return CustomNormalizer([StreamRule(**entry.model_dump()) for entry in mapping.streams])
        except MappingError as error:
            raise ConfigurationError(f"The configuration cannot be used. {error}.") from None
    if isinstance(mapping, BigcommerceMapping):
        subscriptions = [SubscriptionRule(rule.field, rule.pattern) for rule in mapping.subscription_rules]
        chosen = mapping.model_dump(exclude={"type", "subscription_rules"})
        return BigcommerceNormalizer(
            BigcommerceRules(**chosen, subscription_rules=subscriptions),
            durable=not isinstance(config.ledger, NoLedger),
        )
    settings = mapping.model_dump(exclude={"type", "contact_rules"})
    rules = [ContactRule(rule.field, rule.pattern) for rule in mapping.contact_rules]
    if isinstance(mapping, SovrnMapping):
        if mapping.cpc == "rollup" and isinstance(config.ledger, NoLedger):
            raise ConfigurationError(
                "mapping: cpc `rollup` needs a ledger, in which rows wait for their day to be complete. Choose another "
                "ledger than `none`, or cpc `skip`."
            )
        return SovrnNormalizer(SovrnRules(**settings, contact_rules=rules))
    return WecantrackNormalizer(AffiliateRules(**settings, contact_rules=rules))
