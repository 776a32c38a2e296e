"""Dates in records, ISO 8601 with the zone, and for people, in local time."""

from datetime import datetime
from typing import Any


def now() -> str:
    """Return the current date for a record, such as 2026-03-01T09:30:00+01:00."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def moment(recorded: Any) -> datetime | None:
    """Return a recorded date, or seconds since 1970, in local time; None if it is neither."""
    try:
        if isinstance(recorded, str):
            found = datetime.fromisoformat(recorded)
        elif isinstance(recorded, int | float) and not isinstance(recorded, bool):
            found = datetime.fromtimestamp(recorded)
        else:
            return None
        return found.astimezone()
    except (ValueError, OverflowError, OSError):  # edited, or beyond the calendar
        return None


def shown(date: datetime) -> str:
    """Return a date for people, such as `2026-03-01 09:30`."""
    return f"{date:%Y-%m-%d %H:%M}"
