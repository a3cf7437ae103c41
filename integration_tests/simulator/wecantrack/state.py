"""The state of the wecantrack side."""

from __future__ import annotations

from ..core import Core
from .accounts import Accounts
from .mutations import Mutations
from .store import TransactionStore
from .throttle import Throttle


class Wecantrack:
    """Accounts, transactions, the throttle and the scripted changes between pages."""

    def __init__(self, core: Core) -> None:
        self.clock, self.switches, self.keys = core.clock, core.switches, core.keys
        self.throttle = Throttle(core.clock)
        self.accounts = Accounts()
        self.transactions = TransactionStore()
        self.mutations = Mutations(self.transactions, core.clock)

    def advance(self) -> None:
        """Apply every scripted change up to the current time."""
        self.transactions.advance(self.clock.second())

    def reset(self) -> None:
        """Remove accounts and transactions; throttle and mutations stay."""
        self.accounts = Accounts()
        self.transactions.load([])
