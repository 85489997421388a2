"""Template filters: sizes, rates, times and names as people read them."""

import datetime as dt
import re
from typing import Any, Final

from django import template
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from dashboard.core.units import NOTHING, duration, filesize

register = template.Library()
register.filter(filesize)
register.filter(duration)

SYSTEMS: Final = (
    "almalinux", "alpine", "arch", "centos", "cirros", "coreos", "debian", "fedora", "flatcar", "freebsd", "gentoo", "netbsd",
    "openbsd", "opensuse", "oracle", "rhel", "rocky", "sles", "talos", "ubuntu", "windows",
)  # fmt: skip
ALIASES: Final = {"alma": "almalinux", "archlinux": "arch", "redhat": "rhel", "suse": "opensuse", "win": "windows", "fcos": "coreos"}


@register.filter
def rate(value: Any) -> str:
    """ "96 MiB/s" of a job or of bytes a second; empty while nothing moves."""
    speed = getattr(value, "rate", value)
    return f"{filesize(speed)}/s" if speed else ""


@register.filter
def figures(job: Any) -> str:
    """The numbers beside a running job: per cent, then speed while bytes travel, time left otherwise."""
    message = job if isinstance(job, dict) else job.as_message()
    if message.get("status") not in {"running", "waiting"}:
        return ""
    parts: list[str] = []
    if message.get("percent") is not None:
        parts.append(f"{message['percent']} %")
    elif message.get("done"):
        parts.append(filesize(message["done"]))
    if message.get("stage") in {"send", "download"} and message.get("rate"):
        parts.append(rate(message["rate"]))
    elif message.get("seconds_left"):
        parts.append(_("{time} left").format(time=duration(message["seconds_left"])))
    return " · ".join(parts)


@register.filter
def ago(value: dt.datetime | None) -> SafeString:
    """A <time> element: "2 min ago", the exact moment on hover; a date after a month."""
    if value is None:
        return format_html("{}", NOTHING)
    local = timezone.localtime(value)
    exact = f"{formats.date_format(local, 'j M Y')}, {local:%H:%M:%S %Z}"
    return format_html('<time datetime="{}" title="{}" data-ago>{}</time>', value.isoformat(), exact, _ago(local))


def _ago(moment: dt.datetime) -> str:
    seconds = (timezone.now() - moment).total_seconds()
    days = int(seconds // 86400)
    if seconds < 45:
        return _("just now")
    if seconds < 3600:
        return _("{n} min ago").format(n=max(1, round(seconds / 60)))
    if days < 1:
        return _("{n} h ago").format(n=int(seconds // 3600))
    if days < 2:
        return _("yesterday")
    return _("{n} days ago").format(n=days) if days < 30 else formats.date_format(moment, "j M Y")


@register.filter
def initials(name: str) -> str:
    """ "AL" for "alice", "JD" for "jane.doe"."""
    words = re.findall(r"[^\W_]+", name or "")
    letters = "".join(word[0] for word in words[:2]) if len(words) > 1 else (words[0][:2] if words else "?")
    return letters.upper()


@register.filter
def os_class(name: str | None, distro: str | None = None) -> str:
    """The tile's CSS class of an operating system, told from its `os_distro` or else from the image's name."""
    for text in (distro, name):
        for word in re.findall(r"[a-z]+", (text or "").lower()):
            if (system := ALIASES.get(word, word)) in SYSTEMS:
                return f"os-{system}"
    return f"os-other os-hue-{sum((name or '').encode()) % 6}"


@register.filter
def os_letter(name: str | None, distro: str | None = None) -> str:
    """The letter on the tile: the system's, else the name's first."""
    found = os_class(name, distro)
    if not found.startswith("os-other"):
        return found.removeprefix("os-")[0].upper()
    return next((letter.upper() for letter in name or "" if letter.isalnum()), "?")


@register.filter
def short(value: str | None, keep: int = 4) -> str:
    """ "8f1c…e04b" for a long hash."""
    text = value or ""
    return text if len(text) <= 2 * keep + 1 else f"{text[:keep]}…{text[-keep:]}"
