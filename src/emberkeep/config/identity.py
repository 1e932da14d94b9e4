"""`[keystone_authtoken]`: the options of keystonemiddleware, as operators of Cinder know them.

To be imported where it is needed only: what it imports takes longer to load than most commands
take to run.
"""

from pathlib import Path

from keystoneauth1 import exceptions, loading
from keystonemiddleware import auth_token
from oslo_config import cfg

SECTION = "keystone_authtoken"
SERVICE_TYPE = "block-storage"  # by which access rules of application credentials name us


def options_of(file: Path) -> cfg.ConfigOpts:
    """The file's options as the middleware wants them, secrets included."""
    options = cfg.ConfigOpts()
    options(args=[], default_config_files=[str(file)] if file.exists() else [])
    register(options)
    return options


def register(options: cfg.ConfigOpts) -> dict[str, list[cfg.Opt]]:
    """Register everything that the file may say of identity; returns it, by section."""
    options.register_opts(of_middleware(), group=SECTION)
    options.set_default("service_type", SERVICE_TYPE, group=SECTION)
    login = options[SECTION].auth_section or SECTION
    loading.register_auth_conf_options(options, login)
    found = {SECTION: of_middleware()}
    found[login] = found.get(login, []) + of_login()
    way = options[login].auth_type or "password"
    try:
        its_options = loading.get_auth_plugin_conf_options(way)
    except exceptions.NoMatchingPlugin:
        return found  # `check` tells
    options.register_opts(its_options, group=login)
    found[login] = found[login] + its_options
    return found


def check(options: cfg.ConfigOpts) -> None:
    """Raise `ValueError` if something is missing without which no token can be validated."""
    section = options[SECTION].auth_section or SECTION
    if not options[section].auth_type:
        raise ValueError(f"[{section}] auth_type: is missing; for instance: password")
    try:
        loading.load_auth_from_conf_options(options, section)
    except exceptions.NoMatchingPlugin as error:
        raise ValueError(f"[{section}] auth_type: there is no {error.name!r}") from error
    except exceptions.MissingRequiredOptions as error:
        missing = ", ".join(option.dest for option in error.options)
        raise ValueError(f"[{section}] {missing}: is missing") from error


def of_middleware() -> list[cfg.Opt]:
    """Without those of the way to log in, which may stand in a section of their own."""
    login = {option.dest for option in of_login()}
    found = [option for _, its_options in auth_token.list_opts() for option in its_options]
    return [option for option in found if option.dest not in login - {"auth_section"}]


def of_login() -> list[cfg.Opt]:
    return list(loading.get_auth_common_conf_options())


def of_password() -> list[cfg.Opt]:
    """What the usual way to log in takes, for the sample."""
    return list(loading.get_auth_plugin_conf_options("password"))
