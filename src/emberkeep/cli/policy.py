"""`emberkeep policy`: who may do what."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from emberkeep import config
from emberkeep.api.context import Identity, who_may
from emberkeep.api.policies.enforcer import DEFAULTS, Enforcer
from emberkeep.api.policies.file import content
from emberkeep.api.policies.findings import Finding, Level, findings
from emberkeep.api.policies.sample import sample as the_sample
from emberkeep.cli import options
from emberkeep.cli.errors import Commands, Failure


@dataclass(frozen=True, slots=True)
class Decision:
    """What a rule says of somebody."""

    rule: str
    check: str
    allowed: bool


@click.group(cls=Commands)
def policy() -> None:
    """Look at the policies: who may do what."""


@policy.command()
def sample() -> None:
    """Print a documented policy.yaml with every rule and its default."""
    click.echo(the_sample())


def _roles(_context: click.Context, _parameter: click.Parameter, value: str) -> list[str]:
    return [role.strip() for role in value.split(",") if role.strip()]


@policy.command()
@options.state_dir
@options.as_json
@click.option(
    "--policy-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file; default: the one of the state directory.",
)
@click.option("--rule", help="Say what this rule decides, for instance backup:delete.")
@click.option("--roles", callback=_roles, default="", metavar="ROLE[,ROLE…]", help="Of the caller.")
@click.option("--user", default="user", show_default=True, help="The caller's id.")
@click.option("--project", default="", help="The caller's project; without it, a token has none.")
@click.option(
    "--target-project", help="The project of the thing acted on; default: a rule without a thing."
)
@click.pass_context
def check(
    context: click.Context,
    state_dir: Path,
    as_json: bool,
    policy_file: Path | None,
    rule: str | None,
    roles: list[str],
    user: str,
    project: str,
    target_project: str | None,
) -> None:
    """Say what is wrong with the policy file, and what a rule decides.

    Ends with 1 if the service would not start with the file.  Rules that only Cinder has are
    mentioned and do no harm.
    """
    usual = config.load(state_dir).policy_file
    file = policy_file or (usual if usual.exists() else None)
    found = findings(file) if file else []
    wrong = any(finding.level is Level.ERROR for finding in found)
    decision = None
    if rule and not wrong:
        caller = Identity(user_id=user, project_id=project, roles=frozenset(roles))
        decision = _decide(file, rule, caller, target_project)
    if as_json:
        told = asdict(decision) if decision else None
        document = {"file": file and str(file), "findings": [asdict(one) for one in found]}
        click.echo(json.dumps({**document, "decision": told}, indent=2))
    else:
        _print(file, found, decision)
    context.exit(1 if wrong else 0)


def _decide(file: Path | None, rule: str, caller: Identity, target_project: str | None) -> Decision:
    if rule not in DEFAULTS:
        raise Failure(f"{rule}: this service has no such rule; see: emberkeep policy sample")
    own = content(file).get(rule) if file else None
    _is_admin, may = who_may(caller, Enforcer(file))
    return Decision(rule, str(DEFAULTS[rule] if own is None else own), may(rule, target_project))


def _print(file: Path | None, found: list[Finding], decision: Decision | None) -> None:
    if file is None:
        click.echo("no policy file: all rules are as by default")
    for finding in found:
        click.echo(f"{finding.level}: {': '.join(filter(None, (finding.rule, finding.text)))}")
    if file and not found:
        click.echo(f"{file}: nothing to complain of")
    if decision:
        word = "allowed" if decision.allowed else "denied"
        click.echo(f"{decision.rule}: {word} ({decision.check})")
