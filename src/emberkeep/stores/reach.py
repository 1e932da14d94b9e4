"""Whether a server can be reached."""

import socket
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from emberkeep.stores.findings import Finding, Result

_CONNECTING = 10.0  # seconds
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def network(step: str, url: str) -> Finding:
    """Whether somebody listens there.  Who it is, the store's own client finds out."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    at = f"{host}:{port}"
    if parts.scheme in getproxies() and not proxy_bypass(host):
        return Finding(step, Result.FINE, f"{at} is reached through a proxy")
    try:
        with socket.create_connection((host, port), timeout=_CONNECTING):
            pass
    except socket.gaierror as error:
        text = f"{host} is no known name ({error.strerror}); correct it, or the name servers"
        return Finding(step, Result.UNREACHABLE, text)
    except TimeoutError:
        text = f"{at} does not answer; is it the right port, does a firewall forbid it?"
        return Finding(step, Result.UNREACHABLE, text)
    except OSError as error:
        text = f"{at}: {error.strerror}; is it the right host and port, does the service run?"
        return Finding(step, Result.UNREACHABLE, text)
    if parts.scheme == "http" and host not in _LOOPBACK:
        text = f"{at} answers, but without TLS: passwords and tokens can be read on their way"
        return Finding(step, Result.NOTE, text)
    return Finding(step, Result.FINE, f"{at} answers")
