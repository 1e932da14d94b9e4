"""From `emberkeep.conf` to values."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from oslo_config import cfg, iniparser

from emberkeep.config.options import BROKERS, NOTIFICATIONS, SECTIONS, STORE_SECRETS, ZONE
from emberkeep.config.values import (
    KEYSTONE,
    ApiOptions,
    BackupOptions,
    Configuration,
    ConfigurationError,
    Jobs,
    Maintenance,
    NotificationOptions,
    Quotas,
    VolumeOptions,
    Zone,
)
from emberkeep.stores.options import StoreOptions

FILE_NAME = "emberkeep.conf"
# First line of a file that `serve` wrote itself and so may write anew.
GENERATED = "# Written by emberkeep serve; remove this line to keep your own changes."

AUTHTOKEN = "keystone_authtoken"
Written = Mapping[str, Mapping[str, Any]]  # the file's sections and what they assign
Known = dict[str, set[str]]  # what a section may assign


def load(
    state_dir: Path,
    *,
    port: int | None = None,
    zones: Sequence[str] | None = None,
    unix_socket: Path | None = None,
) -> Configuration:
    """Read the state directory's file, if there is one; the other arguments override it."""
    file = state_dir / FILE_NAME
    options = cfg.ConfigOpts()
    for section in SECTIONS:
        options.register_opts(section.options, group=section.group)
    try:
        written = _written(file)
        options(args=[], default_config_files=[str(file)] if file.exists() else [])
        for section in SECTIONS:
            _check(options, section.group, section.options)
        names = tuple(zones or options.availability_zones.enabled)
        for name in names:
            options.register_opts(ZONE.options, group=f"zone:{name}")
            _check(options, f"zone:{name}", ZONE.options)
        known = _known(options, names)
        if options.auth_strategy == KEYSTONE or AUTHTOKEN in written:
            known |= _identity(options)
        if options[NOTIFICATIONS].driver:
            known |= {section: set(written.get(section, ())) for section in BROKERS}
        return _configuration(
            options,
            state_dir.absolute(),
            names,
            port=options.port if port is None else port,
            unix_socket=unix_socket.absolute() if unix_socket else options.unix_socket,
            warnings=tuple(f"{file}: {told}" for told in _unknown(written, known)),
        )
    except (cfg.Error, ValueError) as error:
        raise ConfigurationError(f"{file}: {' '.join(str(error).split())}") from error


def _written(file: Path) -> Written:
    """Raises `ValueError`, never with a line of the file, which may hold a secret."""
    sections: dict[str, dict[str, Any]] = {}
    if not file.exists():
        return sections
    try:
        cfg.ConfigParser(str(file), sections).parse()
    except iniparser.ParseError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from None
    except UnicodeDecodeError:
        raise ValueError("is no text") from None
    except OSError as error:
        raise ValueError(error.strerror) from None
    return sections


def _check(options: cfg.ConfigOpts, group: str | None, its_options: Iterable[cfg.Opt]) -> None:
    """Raise `ValueError`, with the option's name, for the first that has a wrong value."""
    for option in its_options:
        try:
            _ = options[group][option.dest] if group else options[option.dest]
        except (cfg.Error, ValueError) as error:
            reason = str(error).partition(" is not valid: ")[2] or str(error)
            if option.secret:
                reason = "can't be read; a dollar sign is written $$"
            raise ValueError(f"{_named(group, option.name)}: {reason}") from None


def _identity(options: cfg.ConfigOpts) -> Known:
    """Check what the file says of Keystone; returns what it may say."""
    from emberkeep.config import identity  # slow to load

    sections = identity.register(options)
    for section, its_options in sections.items():
        _check(options, section, its_options)
    if options.auth_strategy == KEYSTONE:
        identity.check(options)
    return {_plain(section): _spellings(its) for section, its in sections.items()}


def _named(group: str | None, option: str) -> str:
    return f"[{group}] {option}" if group else option


def _known(options: cfg.ConfigOpts, zones: Iterable[str]) -> Known:
    known = {section.name: _spellings(section.options) for section in SECTIONS}
    return known | {_plain(f"zone:{zone}"): _spellings(ZONE.options) for zone in zones}


def _unknown(written: Written, known: Known) -> Iterator[str]:
    """What the file says that nobody listens to, in words."""
    for section, assigned in written.items():
        names = known.get(_plain(section))
        if names is None:
            yield f"[{section}]: there is no such section{_like(section, {*known, AUTHTOKEN})}"
            continue
        for name in assigned:
            if name not in names:
                yield f"[{section}] {name}: there is no such option{_like(name, names)}"


def _spellings(options: Iterable[cfg.Opt]) -> set[str]:
    """All names under which the file may have them."""
    names: set[str] = set()
    for option in options:
        names |= {option.dest, option.name}
        names |= {old.name for old in option.deprecated_opts if old.name}
    return names


def _plain(section: str) -> str:
    """The section's name as oslo.config compares it: [Jobs] is [jobs], but [default] is another."""
    return section if section == "DEFAULT" else section.lower()


def _like(name: str, names: Iterable[str]) -> str:
    plain = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), plain, 1)
    return f"; is {plain[close[0]]} meant?" if close else ""


def _configuration(
    options: cfg.ConfigOpts,
    state_dir: Path,
    names: tuple[str, ...],
    *,
    port: int,
    unix_socket: str | Path | None,
    warnings: tuple[str, ...],
) -> Configuration:
    if not names or len(set(names)) < len(names):
        raise ValueError("[availability_zones] enabled: name each zone once, and one at least")
    default_zone = options.backups.default_availability_zone
    if default_zone not in ("same-as-volume", "other-than-volume", *names):
        raise ValueError(
            f"[backups] default_availability_zone: no zone {default_zone!r} is enabled"
        )
    enabled = tuple(_zone(options, state_dir, name) for name in names)
    _agree(enabled)
    return Configuration(
        file=state_dir / FILE_NAME,
        state_dir=state_dir,
        host=options.host,
        auth_strategy=options.auth_strategy,
        bind=options.bind_host,
        port=port,
        unix_socket=state_dir / unix_socket if unix_socket else None,
        database=options.database.connection or f"sqlite:///{state_dir / 'emberkeep.sqlite'}",
        key_file=Path(options["keys"].file or state_dir / "emberkeep.key"),
        policy_file=_policy_file(options, state_dir),
        message_ttl=options.message_ttl,
        zones=enabled,
        api=_api(options, state_dir),
        quotas=Quotas(
            volumes=options.quota_volumes,
            snapshots=options.quota_snapshots,
            gigabytes=options.quota_gigabytes,
            backups=options.quota_backups,
            backup_gigabytes=options.quota_backup_gigabytes,
            groups=options.quota_groups,
            per_volume_gigabytes=options.per_volume_size_limit,
        ),
        jobs=Jobs(
            lease=options.jobs.lease,
            heartbeat=options.jobs.heartbeat,
            progress=options.jobs.progress,
            zone_wait=options.jobs.zone_wait,
            max_attempts=options.jobs.max_attempts,
        ),
        backups=BackupOptions(
            default_availability_zone=default_zone,
            default_container=options.backups.default_container,
            refuse_delete_of_parents=options.backups.refuse_delete_of_parents,
            compression_level=options.backups.compression_level,
            memory_budget=options.backups.memory_budget << 20,
        ),
        volumes=VolumeOptions(
            default_availability_zone=_default_zone(options, enabled),
            allow_availability_zone_fallback=options.allow_availability_zone_fallback,
            cloned_volume_same_az=options.cloned_volume_same_az,
            no_snapshot_gb_quota=options.no_snapshot_gb_quota,
        ),
        maintenance=Maintenance(
            collect_every=options.maintenance.collect_every,
            verify_every=options.maintenance.verify_every,
            verify_depth=options.maintenance.verify_depth,
            verify_share=options.maintenance.verify_percent / 100,
        ),
        notifications=_notifications(options),
        warnings=warnings,
    )


def _notifications(options: cfg.ConfigOpts) -> NotificationOptions:
    timed = options.backup_enable_progress_timer
    return NotificationOptions(
        drivers=tuple(filter(None, options[NOTIFICATIONS].driver or ())),
        objects=options.backup_object_number_per_notification,
        seconds=options.backup_timer_interval if timed else None,
    )


def _api(options: cfg.ConfigOpts, state_dir: Path) -> ApiOptions:
    try:
        re.compile(options.project_id_regex)
    except re.error as error:
        raise ValueError(f"project_id_regex: {error}") from error
    file = options.resource_query_filters_file
    return ApiOptions(
        public_endpoint=options.public_endpoint,
        osapi_max_limit=options.osapi_max_limit,
        project_id_regex=options.project_id_regex,
        max_request_body_size=options.oslo_middleware.max_request_body_size,
        enable_proxy_headers_parsing=options.oslo_middleware.enable_proxy_headers_parsing,
        filters=_filters(state_dir / file) if file else None,
    )


def _filters(file: Path) -> Mapping[str, tuple[str, ...]]:
    """By what members may filter the lists of the resources that the file names."""
    option = "resource_query_filters_file"
    try:
        content = json.loads(_contents(file, option))
    except json.JSONDecodeError as error:
        raise ValueError(f"{option}: {file}: is no JSON: {error}") from error
    if not isinstance(content, dict) or not all(map(_is_names, content.values())):
        raise ValueError(f"{option}: {file}: is no object whose values are lists of names")
    return {resource: tuple(names) for resource, names in content.items()}


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _policy_file(options: cfg.ConfigOpts, state_dir: Path) -> Path:
    name: str | None = options.oslo_policy.policy_file
    if name:
        _contents(state_dir / name, "[oslo_policy] policy_file")
    return state_dir / (name or "policy.yaml")


def _default_zone(options: cfg.ConfigOpts, zones: Sequence[Zone]) -> str | None:
    with_volumes = [zone.name for zone in zones if zone.volumes is not None]
    for option in ("default_availability_zone", "storage_availability_zone"):
        if (name := options[option]) and name not in with_volumes:
            raise ValueError(f"{option}: no zone {name!r} with volumes is enabled")
    chosen: str | None = options.default_availability_zone or options.storage_availability_zone
    return chosen or next(iter(with_volumes), None)


def _zone(options: cfg.ConfigOpts, state_dir: Path, name: str) -> Zone:
    if not name.strip() or "/" in name or name.startswith(".") or len(name) > 255:
        raise ValueError(f"[availability_zones] enabled: {name!r} is no name of a zone")
    section = options[f"zone:{name}"]
    volumes: Path | None = state_dir / "volumes" / name
    if section.volumes:
        scheme, colon, directory = section.volumes.partition(":")
        if section.volumes == "none":
            volumes = None
        elif scheme == "files" and colon and directory.startswith("/"):
            volumes = Path(directory)
        else:
            raise ValueError(
                f"[zone:{name}] volumes: {section.volumes!r} is neither none nor "
                "files:DIRECTORY with an absolute path"
            )
    repository = section.repository or (state_dir / "stores" / name).as_uri()
    return Zone(name=name, repository=repository, store=_store(section, name), volumes=volumes)


def _store(section: cfg.ConfigOpts.GroupAttr, zone: str) -> StoreOptions:
    values = {field.name: section[f"store_{field.name}"] for field in fields(StoreOptions)}
    for secret in STORE_SECRETS:
        if not (file := section[f"store_{secret}_file"]):
            continue
        option = f"[zone:{zone}] store_{secret}_file"
        if values[secret] is not None:
            raise ValueError(f"{option}: store_{secret} is set, too; keep one of them")
        values[secret] = _contents(file, option).strip()
    if values["ca_file"]:
        _contents(values["ca_file"], f"[zone:{zone}] store_ca_file")
    try:
        return StoreOptions(**values)
    except ValueError as error:
        raise ValueError(f"[zone:{zone}] store_{error}") from error


def _contents(file: str | Path, option: str) -> str:
    try:
        return Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise ValueError(f"{option}: {file}: {reason}") from error


def _agree(zones: Sequence[Zone]) -> None:
    """Raises `ValueError` if zones name one store and say different things of it."""
    first: dict[str, Zone] = {}
    for zone in zones:
        other = first.setdefault(zone.repository, zone)
        for field in fields(StoreOptions):
            if getattr(zone.store, field.name) != getattr(other.store, field.name):
                raise ValueError(
                    f"[zone:{zone.name}] store_{field.name}: is not as in [zone:{other.name}], "
                    "which names the same repository"
                )


def remember_zones(state_dir: Path, zones: Sequence[str]) -> None:
    """Keep `zones` for the commands that follow, unless the file is the operator's own."""
    file = state_dir / FILE_NAME
    if file.exists() and not file.read_text().startswith(GENERATED):
        return
    file.write_text(f"{GENERATED}\n[availability_zones]\nenabled = {', '.join(zones)}\n")
