"""The vendors' APIs as one local web service: test equipment built from the vendors' documents.

Nothing here was copied from a vendor or compared with a live account. Every rule cites its section of docs/vendors/,
which names the vendor's page. What the documents leave open is marked [guess], and most guesses have a switch for the
other readings. Connectors never import this package; tests and the demo use it over HTTP.
"""

from .client import SimulatorClient
from .server import running_simulator, simulator_process

__all__ = ["SimulatorClient", "running_simulator", "simulator_process"]
