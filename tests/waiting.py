"""Waiting for something that others bring about: by looking, never by guessing how long it takes."""

import time
from collections.abc import Callable
from typing import Any


def until(condition: Callable[[], Any], what: str = "what was waited for", *, within: float = 60) -> Any:
    """What `condition` gives once it is true; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not come: {what}"
        time.sleep(0.02)
    return found
