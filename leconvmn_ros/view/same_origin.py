# Copyright 2026 The leconvmn_ros authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Restricts the live page to its own origin and to origins that are allowed by name.

Any page in the same browser can open a websocket to 127.0.0.1, and a foreign host name that
resolves to 127.0.0.1 (DNS rebinding) makes a foreign page look like ours. Therefore two headers of
every request are checked before viser sees it: `Host` must be an address of this server, and
`Origin`, which every browser sends with a websocket, must be the page's own. Other programs send
no `Origin`; no browser restricts them, so they could send anything. Other pages may not show ours
in a frame, which prevents them from tricking users into pressing its buttons (RFC 6454, RFC 7034).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from ipaddress import ip_address
import re
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from leconvmn_ros.core.errors import ConfigurationError

LOOPBACK = ('127.0.0.1', 'localhost', '[::1]')
DEFAULT_PORTS = {'http': 80, 'https': 443}
# Longer header values are cut in the log.
LONGEST_SHOWN = 80


class Origin(NamedTuple):
    """The origin of a page (RFC 6454).

    Attributes:
        scheme: http or https.
        host: name or address, lower case, an IPv6 address in brackets.
        port: TCP port.
    """

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f'{self.scheme}://{self.host}:{self.port}'


def parse_origin(text: str) -> Origin:
    """Parse an origin such as `http://lab-pc:8080`.

    Raises:
        ConfigurationError: it is not the origin of a web page.
    """
    try:
        parts = urlsplit(text)
        port = parts.port or DEFAULT_PORTS[parts.scheme]
    except (ValueError, KeyError):
        parts = urlsplit('')
        port = 0
    bare = not (parts.path or parts.query or parts.fragment or '@' in parts.netloc)
    if not (bare and parts.hostname and text.isascii() and text.isprintable()):
        raise ConfigurationError(
            f'{text[:LONGEST_SHOWN]!r} is not an origin; allowed are http://NAME:PORT and '
            'https://NAME:PORT'
        )
    host = f'[{parts.hostname}]' if ':' in parts.hostname else parts.hostname
    return Origin(parts.scheme, host, port)


class SameOrigin:
    """Accepts or refuses requests to one server.

    Attributes:
        refused: number of refused requests.
    """

    def __init__(
        self,
        bound_host: str,
        allowed: Sequence[str] = (),
        on_refused: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare for one server.

        Args:
            bound_host: address that the server listens on.
            allowed: allowed origins in addition to its own.
            on_refused: called with the reason, from a thread of the server.

        Raises:
            ConfigurationError: one of `allowed` is not an origin.
        """
        self.refused = 0
        self._bound_host = bound_host.lower()
        self._allowed = frozenset(map(parse_origin, allowed))
        self._on_refused = on_refused

    def reason_to_refuse(
        self, hosts: Sequence[str], origins: Sequence[str], local: tuple[str, int]
    ) -> str:
        """Return why a request is refused, empty if it is accepted.

        Args:
            hosts: all `Host` headers; there must be one.
            origins: all `Origin` headers; there must be one or none.
            local: local address and port of the connection.
        """
        if len(hosts) != 1:
            return f'a request with {len(hosts)} Host headers'
        if len(origins) > 1:
            return f'a request with {len(origins)} Origin headers'
        own = self._origins_at(hosts[0], local)
        if not own:
            return f'a request to the host {hosts[0][:LONGEST_SHOWN]!r}, which is not this server'
        if not origins:
            return ''
        try:
            origin = parse_origin(origins[0])
        except ConfigurationError:
            origin = None
        if origin is None or origin not in own | self._allowed:
            return f'a request from the page {origins[0][:LONGEST_SHOWN]!r}, which is not allowed'
        return ''

    def note(self, reason: str) -> None:
        """Count a refusal and report it."""
        self.refused += 1
        if self._on_refused is not None:
            self._on_refused(reason)

    def _origins_at(self, host: str, local: tuple[str, int]) -> frozenset[Origin]:
        """Return the origins of our page at this `Host`, none if the host is not ours."""
        names = {*LOOPBACK, self._bound_host, _bracketed(local[0])}
        own = {Origin('http', name, local[1]) for name in names}
        return frozenset(
            origin for origin in own | self._allowed if host.lower() in _host_headers(origin)
        )


def _bracketed(address: str) -> str:
    try:
        parsed = ip_address(address.partition('%')[0])
    except ValueError:
        return address
    mapped = getattr(parsed, 'ipv4_mapped', None)
    if mapped is not None:
        return str(mapped)
    return f'[{parsed}]' if parsed.version == 6 else str(parsed)


def _host_headers(origin: Origin) -> set[str]:
    """Return the `Host` headers that a browser sends for an origin."""
    headers = {f'{origin.host}:{origin.port}'}
    if origin.port == DEFAULT_PORTS[origin.scheme]:
        headers.add(origin.host)
    return headers


@contextmanager
def guarded_server(
    infrastructure: ModuleType,
    policy: SameOrigin,
    rewrite: Callable[[Any], None] = lambda _: None,
) -> Iterator[None]:
    """Make a viser server that is started within this context ask the policy first.

    viser has no setting for this: it passes its own `process_request` to
    `websockets.asyncio.server.serve`. Within this context, its module sees a `serve` that wraps
    that function; the websockets library itself is unchanged.

    Args:
        infrastructure: `viser.infra._infra`.
        policy: accepts or refuses requests.
        rewrite: may modify a response of the server in place.

    Raises:
        ConfigurationError: this version of viser starts its server in another way, so it must
            not serve.
    """
    websockets = getattr(infrastructure, 'websockets', None)
    if websockets is None:
        raise _unguarded()
    server = websockets.asyncio.server
    guarded: list[bool] = []

    def serve(handler: Any, *arguments: Any, **options: Any) -> Any:
        inner = options.pop('process_request', None)
        guarded.append(True)
        return server.serve(
            handler, *arguments, process_request=_guard(policy, inner, rewrite), **options
        )

    stand_in = SimpleNamespace(**vars(websockets))
    stand_in.asyncio = SimpleNamespace(server=SimpleNamespace(**{**vars(server), 'serve': serve}))
    infrastructure.websockets = stand_in  # type: ignore[attr-defined]
    try:
        yield
    finally:
        infrastructure.websockets = websockets  # type: ignore[attr-defined]
    if not guarded:
        raise _unguarded()


def _unguarded() -> ConfigurationError:
    return ConfigurationError(
        'this version of viser starts its server in another way, so foreign pages could not be '
        'refused; pip install "viser<1.2"'
    )


def _guard(
    policy: SameOrigin, inner: Any, rewrite: Callable[[Any], None]
) -> Callable[[Any, Any], Any]:
    """Return a `process_request` for websockets that asks first the policy, then `inner`."""

    def process(connection: Any, request: Any) -> Any:
        headers = request.headers
        local = connection.local_address or ('', 0)
        reason = policy.reason_to_refuse(
            headers.get_all('Host'), headers.get_all('Origin'), local[:2]
        )
        if reason:
            policy.note(reason)
            response = connection.respond(HTTPStatus.FORBIDDEN, 'Not a page of this server.\n')
        else:
            response = inner(connection, request) if inner is not None else None
            if response is not None:
                rewrite(response)
        if response is not None:
            response.headers['X-Frame-Options'] = 'DENY'
            response.headers['Content-Security-Policy'] = "frame-ancestors 'none'"
            response.headers['X-Content-Type-Options'] = 'nosniff'
            response.headers['Cross-Origin-Resource-Policy'] = 'same-origin'
        return response

    return process


def split_origins(text: str) -> tuple[str, ...]:
    """Return the origins in a parameter, separated by commas or spaces."""
    return tuple(part for part in re.split(r'[,\s]+', text) if part)
