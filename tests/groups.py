"""The groups of `make test-all`, each run by pytest and timed; the first that fails ends it."""

import subprocess
import sys
import time

GROUPS: dict[str, list[str]] = {
    "engine": ["-n", "auto", "-m", "slow", "tests/engine"],
    "kill": ["-n", "3", "-m", "slow", "tests/system/test_kill.py"],
    "demo": ["-m", "slow", "tests/system/test_demo.py"],
}


def main() -> int:
    seconds: dict[str, float] = {}
    for name, arguments in GROUPS.items():
        print(f"\n== group {name}", flush=True)
        started = time.monotonic()
        code = subprocess.run([sys.executable, "-m", "pytest", *arguments]).returncode
        seconds[name] = time.monotonic() - started
        print(f"== group {name}: {seconds[name]:.0f} s", flush=True)
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
