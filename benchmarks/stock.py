"""Runs the manifest on the unmodified airbyte-cdk, for comparison of the start-up."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    import source_wecantrack
    from airbyte_cdk.entrypoint import launch
    from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource

    manifest = Path(source_wecantrack.__file__).with_name("manifest.yaml")
    launch(YamlDeclarativeSource(path_to_yaml=str(manifest)), sys.argv[1:])
