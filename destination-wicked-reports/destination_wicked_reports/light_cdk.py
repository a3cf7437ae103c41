"""Leaves out what a destination never uses of the CDK; for the console scripts only, before anything imports it.

`import airbyte_cdk` imports every kind of source with all it declares: most of what `spec` costs. The packages named
here are entered into `sys.modules` without running their `__init__`, so that their submodules can be imported alone.
Whoever asks one of them for a name of its own gets it all the same, for then its `__init__` runs after all.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from typing import Any

PACKAGES = ("airbyte_cdk", "airbyte_cdk.sources", "airbyte_cdk.sources.utils")


def prepare() -> None:
    """Defer the packages that nobody has imported yet."""
    for name in PACKAGES:
        if name not in sys.modules:
            _defer(name)


def _defer(name: str) -> None:
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        return
    loader, package = spec.loader, module_from_spec(spec)

    def run_init(attribute: str) -> Any:
        del package.__getattr__
        loader.exec_module(package)
        return getattr(package, attribute)

    package.__getattr__ = run_init  # type: ignore[method-assign]
    sys.modules[name] = package
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, package)
