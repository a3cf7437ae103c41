"""Stops a build from a clone without symbolic links: the package would lack `base`."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RequireBase(BuildHookInterface[Any]):
    """Checks that the link `base` leads to the shared code."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raise RuntimeError where git wrote the link as a text file, as it does on Windows by default."""
        if not list(Path(self.root).glob("*/base/__init__.py")):
            raise RuntimeError(
                "The folder `base` is missing: this clone has no symbolic links. "
                "Clone again with `git clone -c core.symlinks=true`."
            )
