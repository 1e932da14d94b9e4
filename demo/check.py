"""What the demo needs of this machine; prints what is missing and how to get it, a line each."""

import shutil
import sys
from pathlib import Path

PROGRAMS = ("mke2fs", "debugfs", "e2fsck")
GIB_NEEDED = 6
SEARCH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def missing(directory: Path) -> list[str]:
    """One line for each thing that is missing."""
    lines = []
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what an older Python sees first
        lines.append("Python 3.11 or newer is needed: make demo PYTHON=python3.11")
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        lines.append("Python's venv is missing: apt install python3-venv (or your system's way)")
    absent = [name for name in PROGRAMS if shutil.which(name, path=SEARCH) is None]
    if absent:
        lines.append(f"{', '.join(absent)}: missing; apt install e2fsprogs (or your system's way)")
    free = shutil.disk_usage(directory).free / 2**30
    if free < GIB_NEEDED:
        lines.append(
            f"{directory}: {free:.1f} GiB free, about {GIB_NEEDED} GiB are needed; make room, "
            "or clone to another disk"
        )
    return lines


if __name__ == "__main__":
    lines = missing(Path(__file__).resolve().parent)
    for line in lines:
        print(f"make demo: {line}", file=sys.stderr)
    sys.exit(2 if lines else 0)
