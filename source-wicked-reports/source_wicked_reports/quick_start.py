"""Imports the CDK in half the time; to be imported before it, by the console scripts only.

At import the CDK builds serialisers for its protocol, and serpyco-rs reads the source text of every model for the
docstrings of its fields, which nobody here looks at: half of the CPU that `spec` takes. Half a second more goes into
looking for garbage among what is only being made.
"""

import contextlib
import gc

gc.disable()
with contextlib.suppress(ImportError):
    import attributes_doc

    attributes_doc.get_attributes_doc = lambda cls: {}


def started() -> None:
    """Take up collecting garbage again, leaving out what the imports made: it stays to the end."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    gc.enable()
