"""Sizes, rates and times as people read them."""

import datetime as dt
import re
from types import SimpleNamespace

import pytest
from django.template import Context, Template
from django.utils import timezone

from dashboard.core import units
from dashboard.core.templatetags import display


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "—"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (432013312, "412 MiB"),
        (21705523, "20.7 MiB"),
        (2 * 2**30, "2 GiB"),
        (2 * 2**30 + 1, "2.0 GiB"),
        (1536, "1.5 KiB"),
        (300 * 2**20 + 1, "300 MiB"),
        (8697308774, "8.1 GiB"),
        (2**50, "1 PiB"),
        (5 * 2**60, "5120 PiB"),
    ],
)
def test_a_size_has_three_figures_and_a_spaced_unit(size, text):
    assert units.filesize(size) == text


def test_a_rate_is_silent_while_nothing_moves():
    assert display.rate(SimpleNamespace(rate=96 * 2**20)) == "96 MiB/s"
    assert display.rate(1536) == "1.5 KiB/s"
    assert display.rate(SimpleNamespace(rate=0)) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "—"), (0, "0:00"), (41, "0:41"), (725, "12:05"), (3723, "1:02:03"), (-3, "0:00"), (dt.timedelta(minutes=2), "2:00")],
)
def test_a_duration_reads_like_a_clock(seconds, text):
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "just now"), (50, "1 min ago"), (130, "2 min ago"), (7300, "2 h ago"), (90_000, "yesterday"), (3 * 86400 + 60, "3 days ago")],
)
def test_a_recent_moment_is_told_from_now_with_the_exact_one_on_hover(seconds, text):
    moment = timezone.now() - dt.timedelta(seconds=seconds)
    shown = str(display.ago(moment))
    assert f">{text}</time>" in shown
    assert f'datetime="{moment.isoformat()}"' in shown
    assert re.search(r'title="\d+ \w+ \d{4}, \d\d:\d\d:\d\d UTC"', shown)


def test_an_old_moment_is_a_date_in_the_persons_own_time_zone():
    moment = dt.datetime(2024, 3, 12, 23, 30, tzinfo=dt.UTC)
    with timezone.override("Europe/Berlin"):
        assert ">13 Mar 2024</time>" in str(display.ago(moment))
    assert str(display.ago(None)) == "—"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"status": "running", "stage": "convert", "percent": 62, "seconds_left": 41}, "62 % · 0:41 left"),
        ({"status": "running", "stage": "send", "percent": 38, "rate": 96 * 2**20, "seconds_left": 3}, "38 % · 96 MiB/s"),
        ({"status": "running", "stage": "download", "percent": None, "done": 5 * 2**20}, "5 MiB"),
        ({"status": "waiting", "stage": "send", "percent": 0}, "0 %"),
        ({"status": "queued", "stage": "", "percent": 0}, ""),
        ({"status": "failed", "stage": "convert", "percent": 62}, ""),
    ],
)
def test_running_work_shows_its_figures_and_finished_work_none(message, text):
    assert display.figures(message) == text
    assert display.figures(SimpleNamespace(as_message=lambda: message)) == text


@pytest.mark.parametrize(
    ("name", "distro", "css", "letter"),
    [
        ("debian-12-genericcloud", None, "os-debian", "D"),
        ("my image", "ubuntu", "os-ubuntu", "U"),
        ("Win2022", None, "os-windows", "W"),
        ("archive of things", None, "os-other", "A"),
        (None, None, "os-other", "?"),
        ("…", "", "os-other", "?"),
    ],
)
def test_a_tile_tells_the_system_from_the_property_or_the_name(name, distro, css, letter):
    assert display.os_class(name, distro).split()[0] == css
    assert display.os_letter(name, distro) == letter


def test_a_name_gives_two_initials_and_a_hash_its_ends():
    assert [display.initials(name) for name in ("alice", "jane.doe", "x", "")] == ["AL", "JD", "X", "?"]
    assert display.short("8f1c" + "0" * 120 + "e04b") == "8f1c…e04b"
    assert display.short("abc") == "abc"


def test_what_people_typed_is_escaped_on_the_tile():
    page = Template("{% include 'images/_tile.html' with tile=tile %}").render(Context({"tile": {"letter": "<script>", "css": "os-other"}}))
    assert "<script>" not in page
