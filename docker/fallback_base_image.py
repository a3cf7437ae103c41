"""Builds a base image from this machine's Python, for machines that cannot pull Airbyte's.

`python3 docker/fallback_base_image.py OUT.tar` writes a root file system for `docker import`: the interpreter and its
standard library under /usr/local, a shell with the tools that the Dockerfile calls, every shared library that these
need, the CA bundle, and the user `airbyte` (1000). It needs neither root nor the network. It tests the Dockerfile and
the connector; its Python is the machine's.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

TOOLS = ("sh", "cat", "chmod", "chown", "env", "id", "ln", "ls", "mkdir", "rm", "sleep")
#: libraries that `ldd` does not list: name services, loaded by name, and those that manylinux wheels expect
UNLISTED = (
    *("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"),
    *("libgcc_s.so.1", "libstdc++.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0"),
)
#: parts of the standard library that no connector uses
LEFT_OUT = re.compile(
    r"/(__pycache__|test|site-packages|dist-packages|config-[^/]*|idlelib|tkinter|lib2to3|turtledemo)(/|$)|/_tkinter"
)
FOLDERS = ("tmp", "var/tmp", "proc", "sys", "dev", "run", "root", "airbyte", "usr/bin", "usr/lib", "usr/local/bin")
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
PASSWD = "root:x:0:0::/root:/bin/sh\nairbyte:x:1000:1000::/airbyte:/bin/false\n"  # noqa: S105 - names no secret
GROUP = "root:x:0:\nairbyte:x:1000:\n"


class Image:
    """A root file system, written as a tar."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._written: set[str] = set()

    def folder(self, name: str, mode: int = 0o755, owner: int = 0) -> None:
        """Add an empty folder."""
        self._add(name, tarfile.DIRTYPE, mode, owner=owner)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(name, tarfile.SYMTYPE, 0o777, target=target)

    def text(self, name: str, content: str) -> None:
        """Add a file with this content."""
        self._add(name, tarfile.REGTYPE, 0o644, content.encode())

    def file(self, name: str, source: Path) -> None:
        """Add a copy of a file, following links, with its time and executable bit."""
        status = source.stat()
        mode = 0o755 if status.st_mode & 0o111 else 0o644
        self._add(name, tarfile.REGTYPE, mode, source.read_bytes(), time=int(status.st_mtime))

    def _add(
        self,
        name: str,
        kind: bytes,
        mode: int,
        content: bytes = b"",
        *,
        target: str = "",
        owner: int = 0,
        time: int = 0,
    ) -> None:
        if name in self._written:
            return
        self._written.add(name)
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.linkname, entry.size, entry.mtime = kind, mode, target, len(content), time
        entry.uid = entry.gid = owner
        self._tar.addfile(entry, io.BytesIO(content))


def libraries(binaries: Iterable[Path]) -> Iterator[Path]:
    """Yield the shared libraries that these binaries need, as `ldd` resolves them."""
    for binary in binaries:
        listed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False).stdout  # noqa: S603, S607
        for path in re.findall(r"(/\S+\.so\S*)", listed):
            yield Path(path)


def standard_library() -> Iterator[tuple[str, Path]]:
    """Yield the included files of the standard library with their relative paths."""
    root = Path(sysconfig.get_path("stdlib"))
    for folder, _, files in os.walk(root):
        for name in files:
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if not LEFT_OUT.search(f"/{relative}"):
                yield relative, path


def build(image: Image) -> None:
    """Fill the image."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for name in FOLDERS:
        image.folder(name, 0o1777 if name.endswith("tmp") else 0o755, owner=1000 if name == "airbyte" else 0)
    for name in ("bin", "sbin", "lib", "lib64"):
        image.link(name, "usr/lib" if name.startswith("lib") else "usr/bin")
    binaries = [Path(sys.executable).resolve()]
    image.file(f"usr/local/bin/{version}", binaries[0])
    image.link("usr/local/bin/python3", version)
    image.link("usr/local/bin/python", version)
    for relative, path in standard_library():
        image.file(f"usr/local/lib/{version}/{relative}", path)
        if path.suffix == ".so":
            binaries.append(path)
    for tool in TOOLS:
        found = shutil.which(tool, path="/usr/bin:/bin:/usr/sbin:/sbin")
        if found is None:
            sys.exit(f"{tool} is missing on this machine; install coreutils and a shell.")
        image.file(f"usr/bin/{tool}", Path(found))
        binaries.append(Path(found))
    folders = (Path("/lib", triplet()), Path("/usr/lib", triplet()))
    unlisted = [folder / name for name in UNLISTED for folder in folders]
    for path in [*libraries(binaries), *unlisted, *libraries(filter(Path.exists, unlisted))]:
        if path.exists():
            # one folder that the dynamic linker searches without a cache
            image.file(f"usr/lib/{path.name}", path)
    bundle = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    image.file(BUNDLE, Path(bundle))
    image.text("etc/pip.conf", f"[global]\ncert = /{BUNDLE}\ndisable-pip-version-check = true\n")
    image.text("etc/passwd", PASSWD)
    image.text("etc/group", GROUP)
    image.text("etc/nsswitch.conf", "hosts: files dns\n")


def triplet() -> str:
    """Return the folder name of this machine's libraries, e.g. x86_64-linux-gnu."""
    return sysconfig.get_config_var("MULTIARCH") or f"{os.uname().machine}-linux-gnu"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python3 docker/fallback_base_image.py OUT.tar")
    with tarfile.open(sys.argv[1], "w") as archive:
        build(Image(archive))
