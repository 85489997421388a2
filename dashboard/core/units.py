"""Sizes and times in words, for sentences and for template filters. static/js/app.js writes the same for what changes live."""

import datetime as dt
from typing import Any, Final

NOTHING: Final = "—"
UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def filesize(value: Any) -> str:
    """ "412 MiB" for 432013312; three figures at most, in powers of 1024; a dash when unknown."""
    if value is None or value == "":
        return NOTHING
    number, power = float(value), 0
    while number >= 1024 and power < len(UNITS) - 1:
        number, power = number / 1024, power + 1
    # "10 MiB" is exactly that, "10.0 MiB" nearly: a byte over a limit of 10 MiB reads differently from the limit.
    digits = 0 if power == 0 or number >= 100 or number.is_integer() else 1
    return f"{number:.{digits}f} {UNITS[power]}"


def duration(value: Any) -> str:
    """ "0:41", "12:05", "1:02:03" for seconds or a timedelta; a dash when unknown."""
    if value is None or value == "":
        return NOTHING
    seconds = round(value.total_seconds() if isinstance(value, dt.timedelta) else float(value))
    minutes, seconds = divmod(max(0, seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
