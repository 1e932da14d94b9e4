"""Where the real servers come from: Debian's packages, and locked environments beside `.venv`.

`python tests/services/packages.py` brings all of them in, so that no test waits for it.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
DEBIAN = {  # the command that shows that a package is there: the packages that bring it
    "memcached": ("memcached",),
    "radosgw": ("ceph-common", "ceph-mon", "ceph-osd", "radosgw"),
}
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def debian(command: str) -> str:
    """The path of `command`, its packages installed first if they are missing and we are root.

    Exits with 2, and the line to run, if we are not.
    """
    if found := shutil.which(command, path=PATH):
        return found
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *DEBIAN[command]]
    if os.getuid() != 0:
        print(f"{command} is missing; run: sudo {' '.join(install)}", file=sys.stderr)
        raise SystemExit(2)
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "PATH": PATH}
    wait = ["-q", "-o", "DPkg::Lock::Timeout=300"]
    if subprocess.run([*install, *wait], env=quiet).returncode:  # the lists may be old
        subprocess.run(["apt-get", "update", *wait], env=quiet, check=True)
        subprocess.run([*install, *wait], env=quiet, check=True)
    return debian(command)


def environment(name: str) -> Path:
    """The `bin` directory of `.venv-NAME`, made anew if `requirements/NAME.txt` has changed."""
    home = CHECKOUT / f".venv-{name}"
    lock = CHECKOUT / "requirements" / f"{name}.txt"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # one at a time makes it, the others find it made
        ready = home / ".ready"
        if not ready.exists() or ready.read_text() != lock.read_text():
            subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
            pip = [home / "bin/python", "-m", "pip", "install", "-qq"]
            # The lock is complete; pip's resolver takes a pin without its extra for another.
            subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", lock], check=True)
            ready.write_text(lock.read_text())
    return home / "bin"


if __name__ == "__main__":
    for one in DEBIAN:
        debian(one)
    for one in ("swift", "keystone", "cinderclient", "openstacksdk", "tempest"):
        environment(one)
