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

"""Makes the page follow the browser's dark mode, which viser cannot detect.

A script in the page stores the browser's preference in a cookie. The browser sends it with each
connection, and the server answers with the matching theme. Without cookies the page is light.
"""

import gzip
from http.cookies import CookieError, SimpleCookie
from typing import Any

COOKIE = 'leconvmn_dark'
SCRIPT = (
    '<script>(() => { const dark = matchMedia("(prefers-color-scheme: dark)");'
    f'const keep = () => {{ document.cookie = "{COOKIE}=" + (dark.matches ? 1 : 0)'
    ' + ";path=/;SameSite=Strict"; };'
    'keep(); dark.addEventListener("change", () => { keep(); location.reload(); }); })();</script>'
)
# In front of viser's own scripts.
HEAD = '<head>'


def with_script(response: Any) -> None:
    """Insert the script into a page of the server, in place; leave other responses unchanged.

    Args:
        response: response of the websockets library.
    """
    headers = response.headers
    if not headers.get('Content-Type', '').startswith('text/html') or not response.body:
        return
    body = bytes(response.body)
    if headers.get('Content-Encoding') == 'gzip':
        body = gzip.decompress(body)
    page = body.decode('utf-8').replace(HEAD, HEAD + SCRIPT, 1).encode('utf-8')
    for name, value in (('Content-Encoding', 'identity'), ('Content-Length', str(len(page)))):
        del headers[name]
        headers[name] = value
    response.body = page


def prefers_dark(connection: Any) -> bool:
    """Whether the browser at the other end of a websocket prefers a dark page."""
    request = getattr(connection, 'request', None)
    if request is None:
        return False
    try:
        cookies = SimpleCookie('; '.join(request.headers.get_all('Cookie')))
    except CookieError:
        return False
    return COOKIE in cookies and cookies[COOKIE].value == '1'
