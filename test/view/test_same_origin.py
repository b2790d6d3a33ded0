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

"""Which pages may talk to the live view: real handshakes with foreign headers."""

from http.client import HTTPConnection
import socket

from leconvmn_ros.core.errors import ConfigurationError
from leconvmn_ros.view.page import LiveView
from leconvmn_ros.view.same_origin import guarded_server, parse_origin, SameOrigin, split_origins
import pytest

LOCAL = ('127.0.0.1', 8080)
EVERYWHERE = '0.0.0.0'  # noqa: S104 - nothing is bound here


def refused(host, *origin, bound='127.0.0.1', allowed=(), local=LOCAL):
    return bool(SameOrigin(bound, allowed).reason_to_refuse([host], origin, local))


@pytest.mark.parametrize('name', ['127.0.0.1', 'localhost', 'LOCALHOST', '[::1]'])
def test_the_own_page_is_let_in_under_each_of_its_names(name):
    assert not refused(f'{name}:8080', f'http://{name}:8080')
    assert not refused(f'{name}:8080')  # a program, or the page itself being loaded


@pytest.mark.parametrize(
    'origin',
    [
        'https://evil.example',
        'http://127.0.0.1:8081',  # another server on this machine
        'https://127.0.0.1:8080',
        'http://localhost',
        'http://127.0.0.1:8080.evil.example',
        'http://127.0.0.1:8080@evil.example',
        'http://user@127.0.0.1:8080',
        'http://127.0.0.1:8080/path',
        'http://localhost:8080',  # same server, another origin
        'null',
        '',
        'file://',
        'http://127.0.0.1:99999',
    ],
)
def test_a_foreign_page_is_refused(origin):
    assert refused('127.0.0.1:8080', origin)


@pytest.mark.parametrize(
    'host',
    [
        'evil.example:8080',  # a name that resolves to 127.0.0.1
        '127.0.0.1',
        '127.0.0.1:80',
        '127.0.0.1.evil.example:8080',
        'localhost.:8080',
        '',
        '192.168.1.5:8080',
        '127.0.0.1:8080, evil.example',
    ],
)
def test_a_foreign_host_is_refused_even_as_its_own_page(host):
    assert refused(host)
    assert refused(host, f'http://{host}')


def test_a_request_without_or_with_two_of_the_headers_is_refused():
    policy = SameOrigin('127.0.0.1')
    assert policy.reason_to_refuse([], [], LOCAL)
    assert policy.reason_to_refuse(['127.0.0.1:8080'] * 2, [], LOCAL)
    origin = 'http://127.0.0.1:8080'
    assert policy.reason_to_refuse(['127.0.0.1:8080'], [origin, 'http://evil.example'], LOCAL)


def test_a_server_for_the_network_answers_to_the_address_that_was_reached():
    local = ('192.168.1.5', 8080)
    assert not refused(
        '192.168.1.5:8080', 'http://192.168.1.5:8080', bound=EVERYWHERE, local=local
    )
    assert refused('192.168.1.6:8080', bound=EVERYWHERE, local=local)
    v6 = ('fe80::1%eth0', 8080)
    assert not refused('[fe80::1]:8080', 'http://[fe80::1]:8080', bound='::', local=v6)
    mapped = ('::ffff:192.168.1.5', 8080)
    assert not refused('192.168.1.5:8080', bound='::', local=mapped)


def test_an_origin_that_is_allowed_by_name_is_let_in_as_page_and_as_host():
    allowed = ('http://lab-pc:8080', 'https://hand.example')
    assert not refused('127.0.0.1:8080', 'https://hand.example', allowed=allowed)
    assert not refused('lab-pc:8080', 'http://lab-pc:8080', allowed=allowed)
    assert not refused('hand.example', 'https://hand.example', allowed=allowed)
    assert refused('lab-pc:9090', 'http://lab-pc:9090', allowed=allowed)


@pytest.mark.parametrize(
    'text', ['lab-pc', 'lab-pc:8080', 'ftp://lab-pc', 'http://', 'http://a/b', '*', 'http://a\n']
)
def test_what_is_no_origin_cannot_be_allowed(text):
    with pytest.raises(ConfigurationError, match='is not an origin'):
        SameOrigin('127.0.0.1', [text])


def test_origins_of_the_parameter():
    assert split_origins(' http://a:1,http://b:2 http://c:3 ') == (
        'http://a:1',
        'http://b:2',
        'http://c:3',
    )
    assert split_origins('') == ()
    assert str(parse_origin('https://Hand.example')) == 'https://hand.example:443'


@pytest.fixture
def serve():
    pytest.importorskip('viser', reason='viser is not installed')
    views = []

    def make(**options):
        reasons = []
        views.append(LiveView('127.0.0.1', 8230, 'right', on_refused=reasons.append, **options))
        return views[-1].url.removeprefix('http://'), reasons

    yield make
    for made in views:
        made.close()


def get(address, headers):
    connection = HTTPConnection(address, timeout=30)
    connection.request('GET', '/', headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def handshake(address, host, origin):
    """Open a websocket with these headers; return the status of the answer."""
    name, _, port = address.partition(':')
    lines = [
        'GET / HTTP/1.1',
        f'Host: {host}',
        'Upgrade: websocket',
        'Connection: Upgrade',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
        'Sec-WebSocket-Version: 13',
        *([f'Origin: {origin}'] if origin else []),
    ]
    with socket.create_connection((name, int(port)), 30) as connection:
        connection.sendall('\r\n'.join([*lines, '', '']).encode())
        return int(connection.recv(4096).split()[1])


def test_only_the_own_page_gets_a_websocket(serve):
    address, reasons = serve()
    port = address.partition(':')[2]
    assert handshake(address, address, f'http://{address}') == 101
    assert handshake(address, f'localhost:{port}', f'http://localhost:{port}') == 101
    assert reasons == []
    assert handshake(address, address, 'https://evil.example') == 403
    assert handshake(address, f'evil.example:{port}', f'http://evil.example:{port}') == 403
    assert handshake(address, f'evil.example:{port}', None) == 403
    assert handshake(address, address, 'null') == 403
    assert len(reasons) == 4
    assert "'https://evil.example'" in reasons[0]


def test_an_allowed_page_gets_a_websocket(serve):
    address, _ = serve(allowed_origins=['https://hand.example'])
    assert handshake(address, address, 'https://hand.example') == 101
    assert handshake(address, address, 'https://hand.example.evil') == 403


def test_the_page_is_not_given_to_a_foreign_host_and_never_into_a_frame(serve):
    address, _ = serve()
    answer, content = get(address, {})
    assert answer.status == 200
    assert b'<html' in content
    assert answer.headers['X-Frame-Options'] == 'DENY'
    assert "frame-ancestors 'none'" in answer.headers['Content-Security-Policy']
    answer, content = get(address, {'Host': 'evil.example'})
    assert answer.status == 403
    assert b'<html' not in content


def test_two_servers_have_policies_of_their_own(serve):
    allowing, _ = serve(allowed_origins=['https://hand.example'])
    strict, _ = serve()
    assert handshake(allowing, allowing, 'https://hand.example') == 101
    assert handshake(strict, strict, 'https://hand.example') == 403


def test_a_viser_that_starts_its_server_otherwise_is_not_used():
    from types import ModuleType

    import websockets.asyncio.server

    other = ModuleType('other')
    with (
        pytest.raises(ConfigurationError, match='another way'),
        guarded_server(other, SameOrigin('127.0.0.1')),
    ):
        pytest.fail('served without a guard')
    other.websockets = websockets
    with (
        pytest.raises(ConfigurationError, match='another way'),
        guarded_server(other, SameOrigin('127.0.0.1')),
    ):
        pass  # started nothing
    assert other.websockets is websockets
