"""Cell values of an Excel sheet as the text a person saw there.

Numbers lose their trailing ".0" and never show an exponent for whole values (telephone numbers); dates
are ISO 8601. Source: ECMA-376 part 1, 18.8.30 (number formats) and 18.17.4 (dates).
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from app.uploads.xlsx_package import Attributes, Package

Kind = Literal["number", "date", "duration"]

_BUILT_IN_DATES = frozenset([*range(14, 23), *range(27, 37), *range(50, 59)])
_BUILT_IN_DURATIONS = frozenset([45, 46, 47])
_LITERALS = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_ESCAPES = re.compile(r"_x([0-9A-Fa-f]{4})_")
#: Excel refuses longer ones; the expression above takes the square of the time.
_LONGEST_FORMAT = 255
_LAST_SERIAL = 2_958_466  # the day after 9999-12-31


def read_styles(package: Package) -> list[Kind]:
    """Return, for each cell style of the workbook, what its numbers mean."""
    customs: dict[str, Kind] = {}
    kinds: list[Kind] = []
    place = [""]

    def on_start(name: str, found: Attributes) -> None:
        if name in ("cellStyleXfs", "cellXfs", "dxfs"):
            place[0] = name
        elif name == "numFmt":
            customs[found.get("numFmtId", "")] = format_kind(found.get("formatCode", ""))
        elif name == "xf" and place[0] == "cellXfs":
            number = found.get("numFmtId", "0")
            kinds.append(customs.get(number) or _built_in(number))

    package.scan("xl/styles.xml", on_start)
    return kinds


def _built_in(number: str) -> Kind:
    code = int(number) if number.isdecimal() else 0
    if code in _BUILT_IN_DURATIONS:
        return "duration"
    return "date" if code in _BUILT_IN_DATES else "number"


def format_kind(code: str) -> Kind:
    """Return what a number format like `dd/mm/yyyy` or `[h]:mm` makes of a number."""
    bare = _LITERALS.sub("", code[:_LONGEST_FORMAT].partition(";")[0]).lower()
    if "general" in bare:
        return "number"
    if "[h" in bare or "[m" in bare or "[s" in bare:
        return "duration"
    return "date" if any(letter in bare for letter in "dmyhs") else "number"


def show_number(text: str, kind: Kind, epoch: datetime) -> str:
    """Return the readable form of a numeric cell's stored text."""
    if kind == "number" and text.isdecimal():
        return text
    try:
        value = float(text)
    except ValueError:
        return text
    if kind == "date" and 0 <= value < _LAST_SERIAL:
        return _show_date(value, epoch)
    if kind == "duration" and abs(value) < _LAST_SERIAL:
        return _show_duration(value)
    if abs(value) < 1e15 and value == int(value):
        return str(int(value))
    return repr(value)


def _show_date(serial: float, epoch: datetime) -> str:
    seconds = round(serial * 86_400)
    if 0 < seconds < 86_400:
        return str(timedelta(seconds=seconds)).rjust(8, "0")
    # Excel believes in 29 February 1900: before 1 March its serials are one day ahead.
    early = epoch.year == 1899 and serial < 60
    try:
        moment = epoch + timedelta(days=1 if early else 0, seconds=seconds)
    except OverflowError:
        return repr(serial)
    return moment.strftime("%Y-%m-%d" if seconds % 86_400 == 0 else "%Y-%m-%d %H:%M:%S")


def _show_duration(value: float) -> str:
    minutes, seconds = divmod(round(abs(value) * 86_400), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{'-' if value < 0 else ''}{hours}:{minutes:02}:{seconds:02}"


def unescape(text: str) -> str:
    """Return text with `_x000D_` and its like as the control characters they stand for, NUL removed."""
    if "_x" not in text:
        return text
    return _ESCAPES.sub(_control_character, text)


def _control_character(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    if code == 0:
        return ""
    return chr(code) if code < 0x20 or code == 0x5F else match[0]


def column_index(reference: str) -> int:
    """Return the column of a cell reference, from 0: "AB12" is 27; -1 when it names none."""
    index = 0
    for char in reference[:4]:
        if not "A" <= char <= "Z":
            break
        index = index * 26 + ord(char) - 64
    return index - 1


def kind_of(style: str | None, kinds: Sequence[Kind]) -> Kind:
    """Return what the numbers of a cell with this style index mean."""
    if style is None or not style.isdecimal():
        return "number"
    index = int(style)
    return kinds[index] if index < len(kinds) else "number"
