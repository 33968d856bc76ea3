"""What a request comes with, and whose it is: tokens and session cookies."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
from functools import lru_cache, partial
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import Headers
from starlette.types import Scope

from api.observe.refusals import WRONG_TOKENS
from api.services import Services
from api.sessions import Kept, Session, proof_of, same
from api.settings import Settings, WorkerToken
from api.throttle import Throttle, neighbourhood
from tuner import home
from tuner.access import BUILT_IN_ADMIN, Identity, Token, built_in_worker
from tuner.errors import InvalidInput, NotAuthenticated, TooMany
from tuner.text import Name

PREFIX = "tnr_"
"""How tokens of the table begin, so that scanners for secrets know them."""
STRONG = 32
"""Characters from which on a token is taken for random: no number of guesses finds it."""
_LONGEST_ADDRESS = 64
_PROJECT: TypeAdapter[str] = TypeAdapter(Name)
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")
"""How some proxies write an address: each connection has another port."""
_WRONG = "the token is not known here, was revoked, or has expired"


class Credential(NamedTuple):
    """Whose a token is. `digest` finds it in the table; None for the built-in ones."""

    identity: Identity
    digest: str | None


def new_secret() -> str:
    """Return a token's secret: 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a secret, in hexadecimal."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def worker_token(admin: str) -> WorkerToken | None:
    """Return the built-in worker token that the environment names, None if it names none.

    Raises:
        InvalidInput: it is weak, or the admin's; or its project is no name of one.
    """
    secret, project = home.read_worker_token(), home.read_worker_project()
    if secret is None:
        if project is not None:
            raise InvalidInput(f"{home.PROJECT_VARIABLE} goes with {home.WORKER_VARIABLE}")
        return None
    if hmac.compare_digest(secret.encode(), admin.encode()):
        raise InvalidInput(f"{home.WORKER_VARIABLE} is the admin token: choose another one")
    try:
        project = None if project is None else _PROJECT.validate_python(project)
    except ValidationError as exc:
        why = exc.errors()[0]["msg"]
        raise InvalidInput(f"{home.PROJECT_VARIABLE} names no project: {why}") from exc
    return WorkerToken(digest=digest_of(secret), project=project)


def is_built_in(settings: Settings, digest: str) -> bool:
    """Tell whether a digest is that of the admin token the server was started with."""
    return hmac.compare_digest(digest, _known_digest(settings.admin_token))


@lru_cache(maxsize=8)
def _known_digest(token: str) -> str:
    return digest_of(token)


def check_token(services: Services, secret: str, address: str) -> Credential:
    """Return whose a token is.

    Raises:
        NotAuthenticated: nobody's, or it is no longer valid.
        TooMany: this address sent too many wrong ones. Random tokens that are right pass still.
    """
    digest = digest_of(secret)
    token = services.ledger.memory.token(digest)
    if token is not None and token.is_valid(services.clock()):
        return Credential(identity_of(token), digest)
    worker = services.settings.worker_token
    if worker is not None and hmac.compare_digest(digest, worker.digest):
        return Credential(built_in_worker(worker.project), None)
    built_in = is_built_in(services.settings, digest)
    if built_in and len(services.settings.admin_token) >= STRONG:
        return Credential(BUILT_IN_ADMIN, None)
    place = neighbourhood(address)
    wait = services.throttle.wait(place)
    if wait > 0:
        detail = "too many wrong tokens came from this address"
        raise TooMany(detail, retry_after=math.ceil(wait), of=WRONG_TOKENS)
    if built_in:
        return Credential(BUILT_IN_ADMIN, None)
    services.throttle.fail(place)
    raise NotAuthenticated(_WRONG)


def is_admin_of_standby(settings: Settings, throttle: Throttle, secret: str, address: str) -> bool:
    """Tell whether a secret is the built-in admin's, where no other token is known.

    One that could be guessed is not told from a wrong one while its address sent too many.
    """
    place, guessable = neighbourhood(address), len(settings.admin_token) < STRONG
    if guessable and throttle.wait(place) > 0:
        return False
    found = is_built_in(settings, digest_of(secret))
    if guessable and not found:
        throttle.fail(place)
    return found


def holds(services: Services, digest: str | None) -> bool:
    """Tell whether a token that was valid still is."""
    if digest is None:
        return True
    token = services.ledger.memory.token(digest)
    return token is not None and token.is_valid(services.clock())


def session_of(services: Services, secret: str) -> Session | None:
    """Return the live session that a cookie names, also one from before the server's restart."""
    sessions = services.sessions
    return sessions.find(secret) or sessions.resume(secret, partial(_whose, services, secret))


def _whose(services: Services, secret: str, kept: Kept) -> Identity | None:
    """Return who a session stands for; None if its token is another one now, or none."""
    if kept.digest is not None:
        token = services.ledger.memory.token(kept.digest)
        return identity_of(token) if token and token.is_valid(services.clock()) else None
    worker = services.settings.worker_token
    built_in = [(_known_digest(services.settings.admin_token), BUILT_IN_ADMIN)]
    if worker is not None:
        built_in.append((worker.digest, built_in_worker(worker.project)))
    return next(
        (who for digest, who in built_in if same(kept.proof, proof_of(secret, digest))), None
    )


def identity_of(token: Token) -> Identity:
    """Return who a token stands for."""
    return Identity(
        name=token.name, role=token.role, project=token.project, token_id=token.token_id
    )


def address_of(scope: Scope, headers: Headers, settings: Settings) -> str:
    """Return where a request comes from: behind a proxy, what that one says it heard."""
    forwarded = headers.getlist("x-forwarded-for") if settings.behind_proxy else []
    if forwarded:
        found = forwarded[-1].rpartition(",")[2].strip()[:_LONGEST_ADDRESS]
        with_port = _WITH_PORT.fullmatch(found)
        return found if with_port is None else with_port[1] or with_port[2]
    client = scope.get("client")
    return str(client[0]) if client else ""


def is_secure(headers: Headers, settings: Settings, host: str | None) -> bool:
    """Tell whether the browser speaks TLS, so that its cookie may be bound to that.

    Behind a proxy it does, unless the proxy says that it was asked in clear text, or the host is
    this machine's own name.
    """
    if settings.tls is not None:
        return True
    if not settings.behind_proxy:
        return False
    said = headers.get("x-forwarded-proto")
    if said is not None:
        return said.strip().lower() == "https"
    return host not in ("localhost", "127.0.0.1", "::1")


def cookie_name(secure: bool) -> str:
    """Return the session cookie's name; over TLS one that browsers bind to this very host."""
    return "__Host-tuner_session" if secure else "tuner_session"


def cookie_of(headers: Headers, name: str) -> str | None:
    """Return a cookie's value, the last one's if there are several; None if there is none.

    The standard library's parser finds none at all if one of another program is not to its liking,
    and takes seconds for some.
    """
    for part in reversed(";".join(headers.getlist("cookie")).split(";")):
        key, equals, value = part.partition("=")
        if equals and key.strip() == name:
            return value.strip()
    return None
