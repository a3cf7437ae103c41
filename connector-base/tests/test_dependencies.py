"""Each package declares the dependencies that it imports, those of the shared code included, and no others."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = sorted(path.parent for path in ROOT.glob("*-*/pyproject.toml"))
#: `startup` works without it.
OPTIONAL_IMPORTS = {"attributes_doc"}
#: Loaded by other libraries: zoneinfo's data.
NOT_IMPORTED = {"tzdata"}


def imported(package):
    """Return the third-party distributions that the modules of a package import."""
    modules = [*package.rglob("*.py"), *(package / "base").glob("*.py")]  # rglob does not follow the link to the base
    names = set()
    for node in (node for path in modules for node in ast.walk(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
    names -= {*sys.stdlib_module_names, *OPTIONAL_IMPORTS, package.name}
    return {packages_distributions()[name][0].lower() for name in names}


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_a_package_declares_exactly_what_it_imports(project):
    lists = re.findall(r"(?ms)^(?:dependencies|cli) = \[(.*?)^\]", (project / "pyproject.toml").read_text())
    text = "".join(lists)
    declared = {re.match(r"[\w.-]+", line)[0].lower() for line in re.findall(r'"(.+?)"', text)}
    assert imported(project / project.name.replace("-", "_")) == declared - NOT_IMPORTED
