"""Notes, tags and saved views as rows: their way in with a commit, and back into memory."""

from __future__ import annotations

from sqlalchemy import Connection, and_, delete, select

from storage import rows
from storage.bulk import delete_rows, upsert_rows
from storage.changes import Changes
from storage.rows import Row
from storage.tables import remarks, studies, views
from tuner.remark import Remark, RemarkKey, SavedView

OF_STUDY = -1
"""The number under which a study's own remark is stored."""


def load_remarks(connection: Connection) -> dict[RemarkKey, Remark]:
    """Read all notes and tags of studies that are there."""
    query = select(remarks).join(studies, studies.c.study_id == remarks.c.study_id)
    found = {}
    for row in connection.execute(query).mappings():
        number = None if row["number"] == OF_STUDY else row["number"]
        remark = Remark(
            study_id=row["study_id"], number=number, text=row["text"],
            tags=rows.read_strings(row["tags"]), pinned=row["pinned"],
            by=row["by"], at=rows.aware(row["at"]),
        )  # fmt: skip
        found[remark.key] = remark
    return found


def load_views(connection: Connection) -> dict[str, SavedView]:
    """Read all saved views, oldest first."""
    query = select(views).order_by(views.c.created_at, views.c.view_id)
    return {
        row["view_id"]: SavedView(**{**row, "created_at": rows.aware(row["created_at"])})
        for row in connection.execute(query).mappings()
    }


def write_remarks(connection: Connection, changes: Changes) -> None:
    """Write what a change set says of remarks and views."""
    for key in (k for k, remark in changes.remarks.items() if remark is None):
        place = (remarks.c.study_id == key.study_id, remarks.c.number == _stored(key))
        connection.execute(delete(remarks).where(and_(*place)))
    kept = [_remark_row(r) for r in changes.remarks.values() if r is not None]
    upsert_rows(connection, remarks, kept, "study_id", "number")
    delete_rows(connection, views.c.view_id, [i for i, v in changes.views.items() if v is None])
    made = [
        {**vars(v), "created_at": rows.naive(v.created_at)}
        for v in changes.views.values()
        if v is not None
    ]
    upsert_rows(connection, views, made, "view_id")


def _stored(key: RemarkKey) -> int:
    return OF_STUDY if key.number is None else key.number


def _remark_row(remark: Remark) -> Row:
    return {
        "study_id": remark.study_id,
        "number": _stored(remark.key),
        "text": remark.text,
        "tags": rows.to_json(remark.tags),
        "pinned": remark.pinned,
        "by": remark.by,
        "at": rows.naive_or_none(remark.at),
    }
