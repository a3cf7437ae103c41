"""Build hook that fails if the clone has no symbolic links: the package would lack `base`."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RequireBase(BuildHookInterface[Any]):
    """Checks that the link `base` resolves to the shared code."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raise RuntimeError if git wrote the link as a text file, which is its default on Windows."""
        if not list(Path(self.root).glob("*/base/__init__.py")):
            raise RuntimeError(
                "The folder `base` is missing: this clone has no symbolic links. "
                "Clone again with `git clone -c core.symlinks=true`."
            )
