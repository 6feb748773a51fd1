"""The rows of a list of leads, with or without an e-mail: a row is a lead where something identifies it."""

from operator import itemgetter
from typing import BinaryIO, Final

from app.uploads.addresses import ORDINARY_CHARS, address_key, is_ordinary, normalise
from app.uploads.lead_columns import Identity, LeadsWanted
from app.uploads.lead_list import LeadList, OpenedFile
from app.uploads.limits import ReadLimits
from app.uploads.rows import BadRow, LeadBlock, RawBlock, excerpt

NOBODY: Final = (
    "nothing says who this lead is: give its name and company, its e-mail or its LinkedIn address"
)


class PeopleList(LeadList):
    """As a `LeadList`; the e-mail of a lead without a readable one is ""."""

    def __init__(
        self, stream: BinaryIO, opened: OpenedFile, limits: ReadLimits, wanted: LeadsWanted
    ) -> None:
        super().__init__(stream, opened, limits)
        self._identity = Identity(self.lead_columns, wanted)

    def _find_leads(self, raw: RawBlock) -> LeadBlock:
        block, at = LeadBlock(bad=raw.bad), self.email_index
        for line_no, cells in zip(raw.line_nos, raw.cells, strict=True):
            self._fit(cells)
            email, why = _read_email(cells[at]) if at >= 0 else ("", "")
            if email or self._identity.is_in(cells):
                block.line_nos.append(line_no)
                block.emails.append(email)
                block.cells.append(cells)
            elif any(map(str.strip, cells)):
                shown = excerpt((self.delimiter or "\t").join(cells[:100]))
                block.bad.append(BadRow(line_no, why or NOBODY, shown))
        block.bad.sort(key=itemgetter(0))
        return block


def _read_email(cell: str) -> tuple[str, str]:
    """Return the key of the address in a cell, or "" and what is wrong with it ("": nothing stands there)."""
    if len(cell) <= ORDINARY_CHARS and is_ordinary(cell):
        return cell.lower(), ""
    if not cell.strip():
        return "", ""
    try:
        return address_key(normalise(cell)), ""
    except ValueError as error:
        return "", str(error)
