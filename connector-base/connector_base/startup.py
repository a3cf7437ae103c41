"""Makes `import airbyte_cdk` cheaper; for console scripts, before anything imports the CDK.

    startup.prepare()
    from .source import SourceExample  # imports the CDK
    startup.finish()

It avoids three costs. serpyco-rs parses the source of every protocol model for field docstrings: half of the CPU of
`spec`. Garbage collection during the imports costs another half second. `import airbyte_cdk` imports every kind of
source, which a destination never uses.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from importlib.util import find_spec, module_from_spec
from typing import Any

#: Packages whose `__init__` imports every kind of source.
SOURCE_PACKAGES = ("airbyte_cdk", "airbyte_cdk.sources", "airbyte_cdk.sources.utils")


def prepare(*, defer_sources: bool = False) -> None:
    """Disable garbage collection and docstring parsing; with `defer_sources`, import `SOURCE_PACKAGES` on first use."""
    gc.disable()
    with contextlib.suppress(ImportError):
        import attributes_doc

        attributes_doc.get_attributes_doc = lambda cls: {}
    for name in SOURCE_PACKAGES if defer_sources else ():
        if name not in sys.modules:
            _defer(name)


def finish() -> None:
    """Enable garbage collection again, except for what the imports created: it lives as long as the process."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    gc.enable()


def _defer(name: str) -> None:
    """Add a package to `sys.modules` without running its `__init__`, so that submodules can be imported alone.

    The first access to a name that the package itself defines runs the `__init__`.
    """
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
