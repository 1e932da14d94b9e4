"""A documented `emberkeep.conf` with every option and its default."""

import textwrap
from collections.abc import Iterable, Iterator

from oslo_config import cfg

from emberkeep.config import identity
from emberkeep.config.options import SECTIONS, ZONE, Section

HEAD = """\
# emberkeep.conf, in the state directory.  What is commented out is the default.  Any option may be
# set by an environment variable, too: OS_<SECTION>__<OPTION>, for instance OS_DEFAULT__PORT.
"""
_WIDTH = 98


def sample() -> str:
    """The whole file."""
    of_keystone = Section(
        identity.SECTION,
        "How tokens are validated, with auth_strategy = keystone: the options of "
        "keystonemiddleware and, last, those of auth_type = password.",
        (*identity.of_middleware(), *identity.of_login(), *identity.of_password()),
    )
    zone = Section("zone:az1", ZONE.help, ZONE.options)
    return "\n".join((HEAD, *map(_section, (*SECTIONS, of_keystone, zone))))


def _section(section: Section) -> str:
    lines = [*_comment(section.help), f"[{section.name}]", ""]
    for option in section.options:
        if not option.deprecated_for_removal:
            lines += [*_comment(_words(option)), f"#{option.dest} = {_default(option)}", ""]
    return "\n".join(lines)


def _words(option: cfg.Opt) -> str:
    """The help, and what values there are."""
    words = " ".join((option.help or "").split())
    choices = getattr(option.type, "choices", None)
    if isinstance(choices, dict):
        listed = (f"{value} ({told})" if told else str(value) for value, told in choices.items())
        words += f" One of: {'; '.join(listed)}."
    match getattr(option.type, "min", None), getattr(option.type, "max", None):
        case (None, None):
            return words
        case (low, None):
            return f"{words} At least {low}."
        case (low, high):
            return f"{words} From {low} to {high}."
    return words


def _default(option: cfg.Opt) -> str:
    match option.default:
        case None:
            return "<None>"
        case list() as items:
            return ",".join(map(str, items))
        case bool() as flag:
            return str(flag).lower()
    return str(option.default).replace("$", "$$")


def _comment(text: str) -> Iterator[str]:
    lines: Iterable[str] = textwrap.wrap(text, _WIDTH)
    return (f"# {line}" for line in lines)
