"""The keys that the simulator accepts; they are fake and public."""

from __future__ import annotations

WECANTRACK_KEY = "sim-wecantrack-key"
WICKED_KEY = "sim-wicked-key"
SOVRN_KEY = "sim-sovrn-key"
BIGCOMMERCE_TOKEN = "sim-bigcommerce-key"
VENDORS = ("wecantrack", "wicked", "sovrn", "bigcommerce")
#: `plan_off`: the key is valid, but the account's plan does not include the API.
#: `outbound_off`: the inbound API of Wicked Reports works, the outbound API is not enabled for the account.
STATES = ("accepted", "plan_off", "outbound_off", "unknown")


class Keys:
    """The state of each vendor's keys."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Accept only the default keys."""
        defaults = {
            "wecantrack": WECANTRACK_KEY,
            "wicked": WICKED_KEY,
            "sovrn": SOVRN_KEY,
            "bigcommerce": BIGCOMMERCE_TOKEN,
        }
        self._states = dict.fromkeys(defaults.items(), "accepted")

    def set(self, vendor: str, key: str, state: str) -> None:
        """Set the state of a key."""
        if vendor not in VENDORS or state not in STATES:
            raise ValueError(f"vendor is one of {VENDORS}, state one of {STATES}")
        self._states[vendor, key] = state

    def state(self, vendor: str, key: str) -> str:
        """Return the state of a key at a vendor."""
        return self._states.get((vendor, key), "unknown")
