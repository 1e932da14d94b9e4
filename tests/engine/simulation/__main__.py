"""`python -m tests.engine.simulation [--story] SEED [LAST]`: live these lives.

A failure tells its story; with `--story` each does.
"""

import argparse

from tests.engine.simulation.lives import live, story


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.engine.simulation")
    parser.add_argument("--story", action="store_true")
    parser.add_argument("seed", type=int)
    parser.add_argument("last", type=int, nargs="?")
    asked = parser.parse_args()
    for seed in range(asked.seed, (asked.last or asked.seed) + 1):
        world = live(seed)
        if asked.story:
            print(story(seed, world))
        print(f"seed {seed}: {world.scheduler.turns} turns, all promises kept")


if __name__ == "__main__":
    main()
