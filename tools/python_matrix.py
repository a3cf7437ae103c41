"""`make pythons`: runs unit tests and every command of every connector on each supported Python.

Each version has its own environment under `.cache/pythons`, installed from the same lock. A version that is not on this
machine is skipped; with `CI_STRICT=1` it is a failure. `make pythons PYTHONS="3.11 3.12"` runs only these.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CACHE = REPOSITORY / ".cache" / "pythons"
PRINT_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"
LOCK = REPOSITORY / "requirements" / "lock.txt"
UV = Path(sys.executable).with_name("uv")
PACKAGES = sorted(
    path.parent for kind in ("source", "destination") for path in REPOSITORY.glob(f"{kind}-*/pyproject.toml")
)
MARKS = "not campaign and not image_tests and not hosts and not packages"
#: tests that run the connectors with the environment's own Python and need no other layer
TESTS = [*(package / "unit_tests" for package in PACKAGES), REPOSITORY / "integration_tests" / "test_commands.py"]


def find(version: str) -> Path | None:
    """Return a working interpreter of this version, such as `3.12`, or None.

    pyenv's are looked up in its folder: its shims on the PATH fail unless the version is selected.
    """
    for candidate in _candidates(version):
        done = subprocess.run([candidate, "-c", PRINT_VERSION], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return candidate
    return None


def _candidates(version: str) -> Iterator[Path]:
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        yield Path(sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"), reverse=True)
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield Path(on_path)


def prepare(version: str, interpreter: Path) -> Path:
    """Install this version's environment from the lock, if needed; return its Python."""
    folder = CACHE / version
    python, ready = folder / "bin" / "python", folder / ".ready"
    newest = max(path.stat().st_mtime for path in (LOCK, *(package / "pyproject.toml" for package in PACKAGES)))
    if not ready.exists() or ready.stat().st_mtime < newest:
        install: list[str | Path] = [UV, "pip", "install", "--quiet", "--python", python]
        subprocess.run([UV, "venv", "--quiet", "--clear", "--python", interpreter, folder], check=True)
        subprocess.run([*install, "--compile-bytecode", "--require-hashes", "-r", LOCK], check=True)
        editable = [part for package in PACKAGES for part in ("-e", package)]
        subprocess.run([*install, "--no-deps", "--no-build-isolation", *editable], check=True)
        ready.touch()
    return python


def main(arguments: list[str]) -> int:
    """Run the tests on each version; arguments after `--` are pytest's. Return the exit code."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    versions, options = arguments[:cut], arguments[cut + 1 :]
    failed = []
    for version in versions:
        interpreter = find(version)
        if interpreter is None:
            print(f"Python {version}: not on this machine, skipped", flush=True)
            failed += [version] * (os.environ.get("CI_STRICT") == "1")
            continue
        python = prepare(version, interpreter)
        print(f"Python {version}: {interpreter}", flush=True)
        run = [python, "-m", "pytest", "-q", "-n", "3", "-p", "no:cacheprovider", "-m", MARKS, *TESTS, *options]
        environment = {name: value for name, value in os.environ.items() if name != "CONNECTORS_BIN"}
        if subprocess.run(run, cwd=REPOSITORY, env=environment, check=False).returncode:
            failed.append(version)
    if failed:
        print(f"failed on Python {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
