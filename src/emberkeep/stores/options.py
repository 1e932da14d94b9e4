"""What a store must know beside its URL."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Settings of a store; each kind looks at its own.  Secrets are not shown.

    Swift's options have the names of clouds.yaml.  A wrong value raises `ValueError`, whose
    message begins with the option's name.
    """

    ca_file: str | None = None  # certificates that vouch for the servers, instead of the usual ones
    timeout: float = 60.0  # seconds without a byte after which a request has failed
    retries: int = 8  # how often a request that failed is sent again
    connections: int = 16  # at most so many at once
    settles_within: float | None = None  # seconds, `stores.base`; None: what is known of the kind

    # S3
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str | None = None
    sse: str | None = None  # encryption by the service: AES256 or aws:kms
    sse_kms_key: str | None = None

    # Swift
    auth_url: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    project_name: str | None = None
    user_domain_name: str = "Default"
    project_domain_name: str = "Default"
    application_credential_id: str | None = None
    application_credential_secret: str | None = field(default=None, repr=False)
    region_name: str | None = None
    interface: str = "public"

    def __post_init__(self) -> None:
        if self.timeout <= 0:
            raise ValueError("timeout: must be more than 0 seconds")
        if self.retries < 0:
            raise ValueError("retries: cannot be less than 0")
        if self.connections < 1:
            raise ValueError("connections: one is needed at least")
        if self.settles_within is not None and self.settles_within < 0:
            raise ValueError("settles_within: cannot be less than 0 seconds")
        if self.access_key and not self.secret_key:
            raise ValueError("secret_key: is missing, for there is an access_key")
        if self.sse not in (None, "AES256", "aws:kms"):
            raise ValueError(f"sse: {self.sse!r} is neither AES256 nor aws:kms")
        if self.sse_kms_key and self.sse != "aws:kms":
            raise ValueError("sse_kms_key: goes with an sse of aws:kms only")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "StoreOptions":
        """What the usual variables of AWS's, OpenStack's and Swift's own clients say.

        `ST_AUTH`, `ST_USER` and `ST_KEY` count where `OS_AUTH_URL` is not set.
        """

        def told(*names: str) -> str | None:
            return next((environment[name] for name in names if environment.get(name)), None)

        v1 = not told("OS_AUTH_URL") and bool(told("ST_AUTH", "ST_USER"))
        return cls(
            ca_file=told("AWS_CA_BUNDLE", "OS_CACERT"),
            access_key=told("AWS_ACCESS_KEY_ID"),
            secret_key=told("AWS_SECRET_ACCESS_KEY"),
            session_token=told("AWS_SESSION_TOKEN"),
            region=told("AWS_REGION", "AWS_DEFAULT_REGION"),
            auth_url=told("ST_AUTH" if v1 else "OS_AUTH_URL"),
            username=told("ST_USER" if v1 else "OS_USERNAME"),
            password=told("ST_KEY" if v1 else "OS_PASSWORD"),
            project_name=told("OS_PROJECT_NAME"),
            user_domain_name=told("OS_USER_DOMAIN_NAME") or "Default",
            project_domain_name=told("OS_PROJECT_DOMAIN_NAME") or "Default",
            application_credential_id=told("OS_APPLICATION_CREDENTIAL_ID"),
            application_credential_secret=told("OS_APPLICATION_CREDENTIAL_SECRET"),
            region_name=told("OS_REGION_NAME"),
            interface=told("OS_INTERFACE") or "public",
        )
