"""Sample values for Sovrn rows: invented sites, merchants, clicks and amounts (docs/vendors/sovrn.md B5)."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from .transactions import UTM_FIELDS, SovrnState

ACCOUNT_ID = 1234
CAMPAIGNS = ((9000001, "PRIMARY"), (9000002, "site-2.example"), (9000003, "site-3.example"))
#: another network than Sovrn means one of the publisher's own accounts there (B5)
_NETWORKS = ("Sovrn", "Sovrn", "Sovrn", "Sovrn", "Sovrn", "Awin", "CJ")
_SOURCES = ("google", "facebook", "bing", "newsletter")
_DEVICES = ("Mobile", "Desktop", "Tablet", None)
_COUNTRIES = ("us", "us", "us", "gb", "de", "ca")


class Samples:
    """Draws the parts of rows from one random generator."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def state(self, at: int, *, cpc: bool) -> SovrnState:
        """Draw the first amounts: four or more decimals for sales, fractions of a cent for clicks."""
        if cpc:
            return SovrnState(at, at, "0", f"{self._rng.randrange(5, 900) / 10000:.4f}")
        cents = 800 + int(self._rng.expovariate(1 / 9000))
        sale = Decimal(cents) / 100
        revenue = sale * self._rng.randrange(200, 1200) / 10000  # 2 % to 12 %: at least 16 cents
        digits = self._rng.choice((4, 4, 4, 6))
        return SovrnState(at, at, f"{sale:.2f}", f"{revenue:.{digits}f}")

    @staticmethod
    def scaled(state: SovrnState, percent: int) -> tuple[str, str]:
        """Return sale and revenue at a percentage; 100 keeps every digit."""
        if percent == 100:
            return state.order_value, state.revenue
        sale, revenue = Decimal(state.order_value) * percent / 100, Decimal(state.revenue) * percent / 100
        if abs(revenue - Decimal(state.revenue)) < Decimal("0.02"):  # the change must survive rounding
            revenue = Decimal(state.revenue) + (Decimal("0.02") if percent > 100 else Decimal("-0.02"))
        return f"{sale:.2f}", f"{revenue:.4f}"

    def common(self, *, cpc: bool, sale: str = "0") -> dict[str, Any]:
        """Draw the fixed fields of a row; details of the click are sometimes empty or missing (FAQ)."""
        rng = self._rng
        campaign_id, campaign_name = rng.choice(CAMPAIGNS)
        merchant = int(rng.paretovariate(1.1)) % 30 + 1
        common: dict[str, Any] = {
            "accountId": ACCOUNT_ID,
            "campaignId": campaign_id,
            "campaignName": campaign_name,
            "merchantGroupId": 50_000 + merchant,
            "merchantGroupName": f"Example Merchant {merchant}",
            "network": _NETWORKS[merchant % len(_NETWORKS)],
            "linkUtmInfo": self._utm(0.3, "affiliate"),
            "pageUtmInfo": self._utm(0.6, "cpc"),
            "sovrnProduct": rng.choice(("Link", "Link", "JavaScript", "Product API")),
            "country": rng.choice(_COUNTRIES),
            "product": [] if cpc or rng.random() < 0.6 else self._products(merchant, sale),
        }
        if (device := rng.choice(_DEVICES)) is not None:
            common["device"] = device
        post = rng.randrange(50)
        urls = {"pageUrl": f"www.{campaign_name.lower()}/post-{post}", "linkUrl": f"click.example/m{merchant}?p={post}"}
        for name, url in urls.items():
            kind = rng.random()
            if kind < 0.95:
                common[name] = url if kind < 0.9 else ""
        return common

    def _utm(self, share: float, medium: str) -> dict[str, str]:
        utm = dict.fromkeys(UTM_FIELDS, "")
        if self._rng.random() < share:
            utm |= {
                "utmSource": self._rng.choice(_SOURCES),
                "utmMedium": medium,
                "utmCampaign": f"campaign-{self._rng.randrange(12)}",
            }
        return utm

    def _products(self, merchant: int, sale: str) -> list[dict[str, Any]]:
        """Draw products whose prices add up to the sale, in the fields of the flat schema's ProductModel."""
        cents = int(Decimal(sale) * 100)
        first = self._rng.randrange(1, max(2, cents))
        prices = [first, cents - first] if cents - first > 0 else [cents]
        return [
            {
                "productId": f"P{merchant}-{price % 100}",
                "productName": f"Example Product {price % 100}",
                "price": price / 100,
                "quantity": 1,
            }
            for price in prices
        ]
