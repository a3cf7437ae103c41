"""The vendors' APIs as one local web service: test equipment, built from the vendors' documents, not the vendors.

Nothing here is copied from a vendor or was compared with a live account. Every rule cites the section of
`apis/affiliate-facts.md` or `apis/wicked-facts.md` (and through it the vendor's page) that it is built from; what
is only argued there is marked [guess] here, and most guesses can be turned the other way by a switch. Connectors
never import this package; tests and the demo reach it over HTTP.
"""

from .client import SimulatorClient
from .server import running_simulator, simulator_process

__all__ = ["SimulatorClient", "running_simulator", "simulator_process"]
