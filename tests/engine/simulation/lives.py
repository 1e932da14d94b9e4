"""One life of a repository, as a seed has it."""

from random import Random

from tests.engine.simulation import actors, promises
from tests.engine.simulation.network import RandomFaults
from tests.engine.simulation.store import SETTLES
from tests.engine.simulation.world import World, small_and_strict


def live(seed: int) -> World:
    """A life from the first backup to the last.  Raises whatever shows a defect."""
    random = Random(seed)
    faults = RandomFaults(random)
    with small_and_strict():
        world = World(
            random,
            faults=faults,
            burst=random.choice((1, 3, 10, 40)),
            settles_within=random.choice((0, 0, SETTLES)),
            domains=(domains := random.choice((1, 1, 1, 2))),
            volumes=domains * random.choice((1, 2)),
        )
        try:
            for _ in range(random.choice((0, 5, 15, 25))):
                _begin(world, faults)
            for _ in range(random.choice((1, 1, 2))):
                _round(world)
            if random.random() < 0.5:
                world.repair()
            promises.check(world)
        except BaseException as error:
            error.add_note(story(seed, world))
            raise
        return world


def _begin(world: World, faults: RandomFaults) -> None:
    """Something that is done alone, and perhaps not to its end."""
    random = world.random
    task = random.choice((actors.back_up,) * 4 + (actors.delete,) * 2 + (actors.collect,) * 2)
    faults.quiet, faults.until_crash = True, random.choice((None, None, random.randrange(40)))
    world.scheduler.start("first", actors.several(world, [task]))
    world.scheduler.run()
    faults.quiet, faults.until_crash = False, None


def _round(world: World) -> None:
    """Some processes at once."""
    random, scheduler = world.random, world.scheduler
    for number in range(random.randint(2, 9)):
        scheduler.start(f"p{number}", actors.process(world))
    if random.random() < 0.25:
        scheduler.start("damage", actors.several(world, [actors.damage]))
    if random.random() < 0.2:
        scheduler.start("operator", actors.operator(world))
    scheduler.run()
    while world.before is not None:
        scheduler.start("settle", actors.settle(world))
        scheduler.run()


def story(seed: int, world: World) -> str:
    """What happened, as a person reads it, and how to see it again."""
    lines = [
        f"{turn:6} {actor:9} {service:6} {verb} {name} {'' if fate == 'done' else fate}".rstrip()
        for turn, actor, service, verb, name, fate in world.network.log
    ]
    return "\n".join((*lines, f"again: python -m tests.engine.simulation {seed}"))
