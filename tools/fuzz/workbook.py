"""A minimal workbook as the parts of its ZIP archive, so that a part can be damaged and packed again."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


def parts(rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """The files of a workbook with one sheet; cells that read as numbers are numbers."""
    body = "".join(f'<row r="{r}">{"".join(_cell(value, r, c) for c, value in enumerate(row))}</row>'
                   for r, row in enumerate(rows, 1))
    return {
        "[Content_Types].xml": f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" ContentType='
                               '"application/vnd.openxmlformats-package.relationships+xml"/><Override PartName='
                               f'"/xl/workbook.xml" ContentType="{_KIND}.sheet.main+xml"/><Override PartName='
                               f'"/xl/worksheets/sheet1.xml" ContentType="{_KIND}.worksheet+xml"/></Types>',
        "_rels/.rels": _links(_PACKAGE, [("officeDocument", "xl/workbook.xml")]),
        "xl/workbook.xml": f'{_HEAD}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets><sheet name="cases" '
                           'sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _links(_PACKAGE, [("worksheet", "worksheets/sheet1.xml"),
                                                        ("styles", "styles.xml")]),
        "xl/styles.xml": f'{_HEAD}<styleSheet xmlns="{_MAIN}"><cellXfs count="2"><xf numFmtId="0"/>'
                         '<xf numFmtId="14"/></cellXfs></styleSheet>',
        "xl/worksheets/sheet1.xml": f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>{body}</sheetData></worksheet>',
    }


def packed(files: Mapping[str, bytes]) -> bytes:
    """The archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # with a fixed time, so that equal cases are equal
    return stream.getvalue()


def _links(package: str, targets: Sequence[tuple[str, str]]) -> str:
    listed = "".join(f'<Relationship Id="rId{n}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
                     for n, (kind, target) in enumerate(targets, 1))
    return f'{_HEAD}<Relationships xmlns="{package}/relationships">{listed}</Relationships>'


def _cell(value: str, row: int, column: int) -> str:
    place = f"{chr(ord('A') + column)}{row}"
    try:
        float(value)
    except ValueError:
        return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f'<c r="{place}"><v>{value}</v></c>'
