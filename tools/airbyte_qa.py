"""`make qa`: runs Airbyte's published QA checks on the connectors, at the level of certified ones.

Run with the Python of its own environment (requirements/qa.txt) and the connectors' names. The checks come from the
package `airbyte-internal-ops`, the metadata models from `airbyte-connector-models`. They expect Airbyte's repository,
for which a tree of links is built, and Airbyte's services; checks that need these are listed below with the reason. A
check that fails or is skipped without being listed fails the run.
"""

from __future__ import annotations

import contextlib
import io
import site
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONNECTORS = Path("airbyte-integrations/connectors")
#: the support level from which Airbyte checks the documentation's structure
STRICT_LEVEL = 300

#: checks that cannot run here
NOT_RUN = {
    "CheckDocumentationLinks": "requests every linked site, and passes without a network",
    "CheckVersionIncrement": "compares with the version in Airbyte's repository, which does not have these connectors",
}
#: checks that fail: the expected message, and why
NOT_MET = {
    "CheckConnectorUsesPoetry": (
        "poetry.lock file is missing",
        "the packages are built with hatchling; requirements/lock.txt pins all dependencies by hash",
    ),
}
#: checks that skip a connector by their own rules
NOT_APPLICABLE = {
    "CheckManifestOnlyConnectorBaseImage": "these connectors are packages, not manifest-only",
}
#: settings that replace requests to Airbyte's services, and why
OVERRIDES = {
    "disable_dockerhub_checks=True": (
        "the metadata check does not look up images on Docker Hub, where these connectors have none"
    ),
    "is_released=False": (
        "Airbyte's registry, which does not have these connectors, is not requested; checks for unreleased ones run"
    ),
}


def without_services() -> None:
    """Make the packages importable without the clients of Airbyte's services that their `__init__` files import."""
    home = next(path for folder in site.getsitepackages() if (path := Path(folder, "airbyte_ops_mcp")).is_dir())
    for name in ("airbyte_ops_mcp", "airbyte_ops_mcp.registry", "airbyte_ops_mcp.connector_ops"):
        module = types.ModuleType(name)
        module.__path__ = [str(home.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = module
    git_helpers: Any = types.ModuleType("airbyte_ops_mcp.airbyte_repo.list_connectors")
    for name in ("get_changed_files", "get_file_at_merge_base", "get_merge_base"):
        setattr(git_helpers, name, None)  # only CheckVersionIncrement calls them
    sys.modules["airbyte_ops_mcp.airbyte_repo"] = types.ModuleType("airbyte_ops_mcp.airbyte_repo")
    sys.modules[git_helpers.__name__] = git_helpers


@contextlib.contextmanager
def airbyte_tree() -> Iterator[None]:
    """Change to a temporary folder laid out as Airbyte's repository, with links to this one."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        (tree / CONNECTORS).mkdir(parents=True)
        (tree / "docs").symlink_to(ROOT / "docs")
        for metadata in ROOT.glob("*/metadata.yaml"):
            (tree / CONNECTORS / metadata.parent.name).symlink_to(metadata.parent)
        with contextlib.chdir(tree):
            yield


def strict_checks() -> list[Any]:
    """Return every check, configured for connectors of all kinds that are not in Airbyte's registry."""
    from airbyte_ops_mcp import metadata_validator
    from airbyte_ops_mcp.connector_ops.utils import Connector
    from airbyte_ops_mcp.connector_qa.checks import ENABLED_CHECKS, metadata, packaging
    from airbyte_ops_mcp.connector_qa.checks.documentation import documentation

    options = metadata_validator.ValidatorOptions
    metadata.ValidatorOptions = lambda docs_path: options(docs_path=docs_path, disable_dockerhub_checks=True)
    Connector.is_released = property(lambda connector: False)
    Connector.ab_internal_sl = property(lambda connector: STRICT_LEVEL)
    Connector.support_level = property(lambda connector: "certified")
    for kind in (
        documentation.CheckDocumentationContent,
        documentation.CheckIpAllowListSectionContent,
        metadata.CheckConnectorMaxSecondsBetweenMessagesValue,
        packaging.CheckPublishToPyPiIsDeclared,
    ):
        kind.applies_to_connector_types = ["source", "destination"]
    return list(ENABLED_CHECKS)


@contextlib.contextmanager
def template_of(kind: str) -> Iterator[None]:
    """Replace "source" by this kind of connector in Airbyte's documentation template."""
    from airbyte_ops_mcp.connector_qa.checks.documentation.models import TemplateContent

    original = TemplateContent._content
    TemplateContent._content = lambda self: (
        original(self)
        .replace("source", kind)
        .replace("Source", kind.title())
        .replace(f"Open {kind.title()}", "Open Source")
    )
    try:
        yield
    finally:
        TemplateContent._content = original


def outcome(check: Any, connector: Any) -> tuple[bool, str, str]:
    """Run one check; return whether its result is accepted, its status, and a message."""
    name = type(check).__name__
    if name in NOT_RUN:
        return True, "not run", NOT_RUN[name]
    result = check.run(connector)
    status = result.status.name.lower()
    if status == "skipped":
        return name in NOT_APPLICABLE, "not applicable", NOT_APPLICABLE.get(name, result.message)
    if status == "failed" and name in NOT_MET and NOT_MET[name][0] == result.message:
        return True, "not met", f"{result.message}: {NOT_MET[name][1]}"
    return status == "passed", status, result.message


def main(names: list[str]) -> int:
    """Check the named connectors; print every result that is not a pass, and return the exit code."""
    without_services()
    from airbyte_ops_mcp.connector_ops.utils import Connector

    checks, failures = strict_checks(), 0
    for setting, reason in OVERRIDES.items():
        print(f"For all connectors, {setting}: {reason}")
    with airbyte_tree():
        for name in names:
            connector = Connector(name)
            assert connector.connector_spec_file_content, (
                f"{name}: no spec found; the checks that read it would be skipped"
            )
            silenced = contextlib.redirect_stdout(io.StringIO())  # the validators print their progress
            with template_of(name.split("-")[0]), silenced:
                results = [(type(check).__name__, *outcome(check, connector)) for check in checks]
            passed = sum(status == "passed" for _, _, status, _ in results)
            print(f"{name}: {passed} of {len(checks)} checks passed")
            for check, accepted, status, text in results:
                if not accepted:
                    failures += 1
                if status != "passed":
                    print(f"  {'' if accepted else 'FAILED '}{check}, {status}: {text}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else "Usage: python tools/airbyte_qa.py CONNECTOR...")
