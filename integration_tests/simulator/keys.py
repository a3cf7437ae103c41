"""The keys that the simulator accepts. They are fake, printed in the open, and open nothing anywhere else."""

from __future__ import annotations

WECANTRACK_KEY = "sim-wecantrack-key"
WICKED_KEY = "sim-wicked-key"
SOVRN_KEY = "sim-sovrn-key"
BIGCOMMERCE_TOKEN = "sim-bigcommerce-key"
VENDORS = ("wecantrack", "wicked", "sovrn", "bigcommerce")
#: `plan_off`: the key is right, but the account's plan does not include the API.
#: `outbound_off`: Wicked takes rows but does not give any, as for every account that has not asked for it.
STATES = ("accepted", "plan_off", "outbound_off", "unknown")


class Keys:
    """Which keys are good at which vendor."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Accept the default keys only."""
        defaults = {
            "wecantrack": WECANTRACK_KEY,
            "wicked": WICKED_KEY,
            "sovrn": SOVRN_KEY,
            "bigcommerce": BIGCOMMERCE_TOKEN,
        }
        self._states = dict.fromkeys(defaults.items(), "accepted")

    def set(self, vendor: str, key: str, state: str) -> None:
        """Accept a key, take its plan away, or forget it."""
        if vendor not in VENDORS or state not in STATES:
            raise ValueError(f"vendor is one of {VENDORS}, state one of {STATES}")
        self._states[vendor, key] = state

    def state(self, vendor: str, key: str) -> str:
        """Return what a key is worth at a vendor."""
        return self._states.get((vendor, key), "unknown")
