"""Reads a CSV of people to enroll: one line per person, each accepted or refused by itself."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ostiary.edge.errors import EnrollmentRefused, OstiaryError, RequestError
from ostiary.edge.files import list_text, trimmed
from ostiary.fleet.enrollment.patch import NOTHING, PersonWish, read_wish
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.person import check_subject

REQUIRED = ("subject", "photo")
OPTIONAL = ("name", "groups", "from", "until", "schedule", "learns")
YES_OR_NO = {"": None, "yes": True, "no": False}
HINT = f"columns: {', '.join(REQUIRED)}[, {', '.join(OPTIONAL)}]"
BETWEEN_PHOTOS = ";"
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Request:
    """A person to enroll from photos; `line` is the line in a table, or 0 without one."""

    subject: str
    photos: tuple[Path, ...]
    wish: PersonWish = NOTHING
    line: int = 0


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A person who was not enrolled: a `reason` for machines, a message and a hint for people.

    `option` names the argument that would enroll them, as in `OstiaryError`.
    """

    subject: str
    reason: str
    message: str
    hint: str = ""
    line: int = 0
    option: str = ""

    @staticmethod
    def of(error: OstiaryError, subject: str, reason: str, line: int) -> RefusedRequest:
        """The refusal that an error describes."""
        return RefusedRequest(subject, reason, error.message, error.hint, line, error.option)

    def error(self) -> EnrollmentRefused:
        """The refusal as an error, to raise or to show."""
        return EnrollmentRefused(self.reason, self.message, self.hint, option=self.option)


def read_table(
    path: Path, known_groups: Sequence[str], now_s: float
) -> tuple[list[Request], list[RefusedRequest]]:
    """The requests in a CSV file, and its refused lines; photo paths start at the file's folder.

    Raises FleetError, and accepts no line, if the file cannot be read or its header is wrong.
    """
    header, lines = _lines(path)
    requests: list[Request] = []
    refused: list[RefusedRequest] = []
    first_line: dict[str, int] = {}
    for number, cells in lines:
        subject = cells[header.index("subject")] if len(cells) == len(header) else ""
        try:
            if len(cells) != len(header):
                raise FleetError(f"{len(cells)} cells, but the header has {len(header)}")
            row = dict(zip(header, cells, strict=True))
            if subject in first_line:
                raise FleetError(
                    f"{subject} is on line {first_line[subject]} already",
                    f"put several photos into one cell, separated by {BETWEEN_PHOTOS}",
                )
            requests.append(_request(row, number, path.parent, known_groups, now_s))
            first_line[subject] = number
        except (FleetError, RequestError) as error:
            refused.append(RefusedRequest.of(error, subject, "bad-row", number))
    return requests, refused


def write_report(
    refused: Sequence[RefusedRequest], advice: Callable[[OstiaryError], str] = lambda e: e.hint
) -> bytes:
    """The refused requests as CSV: line, subject, reason, message.

    `advice` turns an error's hint and option into words. A cell that a spreadsheet would take for a
    formula begins with an apostrophe.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("line", "subject", "reason", "message"))
    for refusal in refused:
        said = advice(refusal.error())
        hint = f" ({said})" if said else ""
        texts = (refusal.subject, refusal.reason, f"{refusal.message}{hint}")
        writer.writerow((refusal.line, *map(_harmless, texts)))
    # A photo's name need not be UTF-8.
    return text.getvalue().encode("utf-8", "backslashreplace")


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _lines(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and each line's number and cells; empty lines are left out."""
    try:
        text = list_text(path)
    except OSError as error:
        raise FleetError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FleetError(f"{path} is not UTF-8: {error}", "save it as CSV UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines, before = [], 0
    try:
        for cells in reader:
            # A quoted cell may span lines; the number given is that of its first line.
            if any(cell.strip() for cell in cells):
                lines.append((before + 1, cells))
            before = reader.line_num
    except csv.Error as error:
        raise FleetError(f"{path}, line {reader.line_num}: {error}", "is it a CSV file?") from error
    if not lines:
        raise FleetError(f"{path} is empty", HINT)
    header = _header(path, lines[0][1])
    # Cells below an empty column of the header are left out; more than that is a slip.
    columns = len(lines[0][1])
    return header, [
        (number, trimmed(cells, len(header) if len(cells) == columns else len(cells)))
        for number, cells in lines[1:]
    ]


def _header(path: Path, cells: list[str]) -> list[str]:
    header = trimmed([cell.lower() for cell in cells])
    unknown = [name for name in header if name not in REQUIRED + OPTIONAL]
    missing = [name for name in REQUIRED if name not in header]
    if len(header) == 1 and ";" in header[0]:
        raise FleetError(f"{path}: the columns are separated by semicolons", "use commas")
    if unknown:
        raise FleetError(f"{path}: unknown column {unknown[0]!r}", HINT)
    if missing:
        raise FleetError(f"{path}: there is no column {missing[0]!r}", HINT)
    if len(set(header)) < len(header):
        raise FleetError(f"{path}: a column is there twice", HINT)
    return header


def _request(
    row: dict[str, str], line: int, folder: Path, known_groups: Sequence[str], now_s: float
) -> Request:
    check_subject(row["subject"])
    photos = [name.strip() for name in row["photo"].split(BETWEEN_PHOTOS) if name.strip()]
    if not photos:
        raise FleetError("no photo is given")
    # An empty cell changes nothing: a table with photos only removes no groups, dates or hours.
    wish = read_wish(
        known_groups,
        now_s,
        name=row.get("name") or None,
        groups=row.get("groups") or None,
        valid_from=row.get("from") or None,
        valid_until=row.get("until") or None,
        hours=row.get("schedule") or None,
        learns=_yes_or_no(row.get("learns", "")),
    )
    return Request(row["subject"], tuple(folder / name for name in photos), wish, line)


def _yes_or_no(cell: str) -> bool | None:
    """Whether a person consents to learning; None for an empty cell."""
    if cell.lower() not in YES_OR_NO:
        raise FleetError(
            f"learns: {cell!r} is neither yes nor no", "leave the cell empty to keep it"
        )
    return YES_OR_NO[cell.lower()]
