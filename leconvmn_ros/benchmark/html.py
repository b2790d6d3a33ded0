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

"""Building blocks of a report that is one HTML file: nothing is loaded, nothing is run.

The page is a tree of elements, so all text is escaped by the one place that writes it.
"""

from base64 import b64encode
from collections.abc import Sequence
from xml.etree import ElementTree as ET

Part = str | ET.Element

STYLE = """
body { max-width: 66rem; margin: 2.5rem auto; padding: 0 1.5rem; color: #1a1a1a;
  font: 16px/1.5 Charter, "Bitstream Charter", Georgia, "Liberation Serif", serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin-bottom: 0.4rem; }
h2 { font-size: 1.25rem; margin-top: 2.8rem; border-bottom: 1px solid #bbb; }
h3 { font-size: 1.05rem; margin: 1.8rem 0 0.3rem; }
table { border-collapse: collapse; font-size: 0.86rem; line-height: 1.4;
  font-family: "Helvetica Neue", Arial, "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums; }
figcaption { color: #444; font-size: 0.9rem; padding-bottom: 0.4rem; }
thead { border-top: 2px solid #1a1a1a; border-bottom: 1px solid #1a1a1a; }
tbody { border-bottom: 2px solid #1a1a1a; }
tbody tr.first { border-top: 1px solid #ccc; }
th, td { padding: 0.18rem 0.75rem; text-align: right; vertical-align: top; white-space: nowrap;
  font-weight: normal; }
thead th { font-weight: 600; vertical-align: bottom; }
th.text, td.text { text-align: left; }
th.long, td.long { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
figure { margin: 0.9rem 0 1.7rem; }
figure img { width: 100%; height: auto; }
pre { background: #f5f5f3; padding: 0.7rem 1rem; font-size: 0.8rem; line-height: 1.4;
  white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; margin: 0.5rem 0; }
.note { color: #444; font-size: 0.9rem; margin-top: -0.9rem; }
.warning { border-left: 4px solid #d55e00; padding: 0.4rem 1rem; background: #fdf3ea; }
@media print { body { max-width: none; margin: 0; } h2 { break-after: avoid; }
  table, figure { break-inside: avoid; } }
"""


def element(tag: str, *parts: Part, **attributes: str) -> ET.Element:
    """Return an element with text and elements in it; `class_` stands for `class`."""
    made = ET.Element(tag, {name.rstrip('_'): value for name, value in attributes.items()})
    last = None
    for part in parts:
        if isinstance(part, ET.Element):
            made.append(part)
            last = part
        elif last is None:
            made.text = (made.text or '') + part
        else:
            last.tail = (last.tail or '') + part
    return made


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    text_columns: int = 1,
    long_column: int | None = None,
) -> ET.Element:
    """Return a table: text first, numbers, right-aligned, after it.

    Args:
        caption: what is compared, on what data.
        header: a title for each column.
        rows: the cells; where the first cell is empty, the row belongs to the one above it.
        text_columns: how many columns hold text.
        long_column: the column whose text may be wrapped, if any.
    """

    def kind(column: int) -> str:
        if column == long_column:
            return 'long'
        return 'text' if column < text_columns else ''

    def cell(tag: str, column: int, text: str, **attributes: str) -> ET.Element:
        marks = {'class_': kind(column)} if kind(column) else {}
        return element(tag, text, **marks, **attributes)

    def row(cells: Sequence[str]) -> ET.Element:
        first, *others = cells
        parts = [cell('th', 0, first, scope='row') if first else cell('td', 0, '')]
        parts += [cell('td', column, text) for column, text in enumerate(others, start=1)]
        grouped = text_columns > 1 and first
        return element('tr', *parts, **({'class_': 'first'} if grouped else {}))

    titles = [cell('th', column, text, scope='col') for column, text in enumerate(header)]
    content = [element('thead', element('tr', *titles)), element('tbody', *map(row, rows))]
    # In a caption element the text would be no wider than the table.
    return element(
        'figure',
        element('figcaption', caption),
        element('div', element('table', *content), class_='scroll'),
    )


def figure(image: bytes, kind: str, alt: str, caption: str) -> ET.Element:
    """Return a picture that is part of the page; `kind` is 'png' or 'svg+xml'."""
    source = f'data:image/{kind};base64,{b64encode(image).decode()}'
    return element('figure', element('figcaption', caption), element('img', src=source, alt=alt))


def details(summary: str, *parts: Part) -> ET.Element:
    """Return what is shown when a reader opens it."""
    return element('details', element('summary', summary), *parts)


def page(title: str, *parts: Part) -> str:
    """Return the whole page."""
    tree = element(
        'html',
        element(
            'head',
            element('meta', charset='utf-8'),
            element('meta', name='viewport', content='width=device-width, initial-scale=1'),
            element('title', title),
            element('style', STYLE),
        ),
        element('body', element('h1', title), *parts),
        lang='en',
    )
    return f'<!DOCTYPE html>\n{ET.tostring(tree, encoding="unicode", method="html")}\n'
