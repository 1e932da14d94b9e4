"""The groups of `make test-all`, each run by pytest and timed; the first that fails ends it.

The last line is pytest's own, so a group's seconds stand in the next one's heading.
"""

import subprocess
import sys
import time

SIMULATION = [
    f"tests/engine/{name}.py" for name in ("test_simulation", "test_crash_points", "test_mutants")
]
SCALE = "tests/engine/test_scale.py"
GROUPS: dict[str, list[str]] = {
    "engine": [
        *("-n", "auto", "-m", "slow", "tests/engine"),
        *(f"--ignore={name}" for name in (*SIMULATION, SCALE)),
    ],
    "simulation": ["-n", "auto", "-m", "slow", *SIMULATION],
    "scale": ["-m", "slow", "-s", SCALE],
    # Each file in a process of its own, with servers of its own.
    "stores": ["-n", "2", "--dist", "loadfile", "-m", "slow", "tests/services"],
    "serve": ["-n", "2", "-m", "slow", "tests/system/test_serve.py"],
    "keystone": [
        *("-m", "slow", "tests/system/test_keystone.py", "tests/system/test_operators_page.py"),
    ],
    "kill": ["-n", "3", "-m", "slow", "tests/system/test_kill.py"],
    "kill stores": ["-m", "slow", "tests/system/test_kill_stores.py"],
    "silent store": ["-m", "slow", "tests/system/test_silent_store.py"],
    "memory": ["-m", "slow", "tests/system/test_memory.py"],
    "tempest": ["-m", "slow", "-s", "tests/system/test_tempest.py"],
    # The page docs/clients.md is compared with what they see, too.
    "clients": ["-n", "2", "--dist", "loadfile", "-m", "slow", "tests/system/clients"],
    "demo": ["-m", "slow", "tests/system/test_demo.py"],
}


def main() -> int:
    seconds: dict[str, float] = {}
    for name, arguments in GROUPS.items():
        before = ", ".join(f"{done} {took:.0f} s" for done, took in seconds.items())
        print(f"\n== group {name}{f' (after {before})' if before else ''}", flush=True)
        started = time.monotonic()
        code = subprocess.run([sys.executable, "-m", "pytest", *arguments]).returncode
        seconds[name] = time.monotonic() - started
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
