"""Bytes fetched from a URL into a staging file: judged at every hop, resumed when the connection breaks, bounded in all ways."""

import time
from collections import deque
from http import HTTPStatus
from typing import Protocol
from uuid import UUID

from django.utils.translation import gettext as _

from dashboard.core.errors import BadRequest, Error, Unavailable
from dashboard.jobs.models import Job
from dashboard.jobs.services import Progress
from images.formats import inspect
from images.imports import addresses, steps
from images.imports.fetch import Answer, Broken, Limits, Unreachable
from images.models import Image
from images.services import quotas, uploads
from images.uploads import staging
from images.uploads.staging import Appender

MIB = 2**20
_REDIRECTS = {301, 302, 303, 307, 308}
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class Listener(Protocol):
    """What the download tells, and asks, while it goes on. Any method may raise to end it."""

    def check(self) -> None:
        """Called several times a second, also while nothing arrives."""

    def announced(self, total: int | None) -> None:
        """The size of the whole file, None when the other side does not say; told before the first byte, and at a new start."""

    def arrived(self, done: int) -> None:
        """So many bytes are in the file."""

    def first(self, head: bytes, total: int | None) -> None:
        """As much of the beginning as `head` asked for, or the whole file when it is shorter; told once."""


class Download:
    """One file from one URL, into the staging file of `owner`."""

    def __init__(self, url: str, owner: UUID, listener: Listener, limits: Limits | None = None, *, head: int = MIB) -> None:
        self.target = addresses.check(addresses.parse(url))
        self.owner, self.listener, self.head = owner, listener, head
        self.limits = limits or Limits()
        self.ends_at = time.monotonic() + self.limits.total
        self.done = 0
        self.total: int | None = None
        self.validator = ""  # what tells that a second request gets the rest of the same file
        self.judged = False

    def run(self) -> int:
        """Fetch it all and return its size. Raises an Error with the reason when that cannot be."""
        failures, best = 0, 0
        while True:
            try:
                with self._open() as answer:
                    self._receive(answer)
                return self.done
            except Broken as broken:
                if isinstance(broken, Unreachable) and not self.done:
                    raise addresses.refused(self.target.host) from None
                failures = 1 if self.done - best >= MIB else failures + 1
                best = max(best, self.done)
                if failures >= self.limits.tries:
                    raise self._gave_up() from None
            self._wait(self.limits.pause * 2 ** (failures - 1))

    def _gave_up(self) -> Error:
        if self.done:
            return Unavailable(
                _("The connection to the other side broke again and again; %(done)d bytes had arrived.") % {"done": self.done}
            )
        return addresses.refused(self.target.host)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._check()
            time.sleep(min(left, 0.1))

    def _check(self) -> None:
        self.listener.check()
        if time.monotonic() > self.ends_at:
            raise Unavailable(_("The download took longer than is allowed."))

    def _open(self) -> Answer:
        """The answer that carries the bytes, after at most so many redirects, each judged like the first URL."""
        target, resume = self.target, bool(self.done and self.validator)
        headers = {"Range": f"bytes={self.done}-", "If-Range": self.validator} if resume else {}
        for _hop in range(self.limits.redirects + 1):
            answer = Answer(target, headers, self.limits, self._check)
            try:
                if answer.status not in _REDIRECTS:
                    self._begin(answer)
                    return answer
                target = addresses.follow(target, answer.header("Location"))
            except BaseException:
                answer.close()
                raise
            answer.close()
        raise BadRequest(_("The URL redirects too often."))

    def _begin(self, answer: Answer) -> None:
        """Decide where the bytes of this answer go in the file."""
        self._require_good(answer)
        if answer.status == HTTPStatus.PARTIAL_CONTENT:
            start, total = _content_range(answer.header("Content-Range"))
            if start != self.done or not self.done or total != self.total:
                self.validator = ""
                raise Broken("another range than asked for")
            return
        self.done = 0
        self.total = answer.response.length
        etag = answer.header("ETag")
        self.validator = etag if etag.startswith('"') else answer.header("Last-Modified")
        if any(not " " <= letter <= "~" for letter in self.validator):
            self.validator = ""
        self.listener.announced(self.total)

    def _require_good(self, answer: Answer) -> None:
        status = answer.status
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self.done:
            self.validator = ""
            raise Broken("range")
        if status in _TRY_AGAIN:
            raise Broken(str(status))
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise BadRequest(_("The other side answered %(status)d instead of sending a file.") % {"status": status})
        if status == HTTPStatus.PARTIAL_CONTENT and not self.done:
            raise BadRequest(_("The other side sent a part of the file that was not asked for."))
        if answer.header("Content-Encoding").lower() not in ("", "identity"):
            raise BadRequest(_("The other side sent the file in an encoding that was not asked for."))

    def _receive(self, answer: Answer) -> None:
        pace = _Pace(self.limits)
        file = Appender(self.owner)
        try:
            file.truncate(self.done)
            while piece := answer.read():
                self._check()
                file.append(piece)
                self.done = file.size
                self.listener.arrived(self.done)
                self._judge(file, ended=False)
                pace.keep(self.done)
            if self.total is not None and self.done != self.total:
                raise Broken("short")
            self._judge(file, ended=True)
        finally:
            try:
                file.sync()
            finally:
                file.close()

    def _judge(self, file: Appender, *, ended: bool) -> None:
        if not self.judged and (ended or self.done >= self.head):
            self.judged = True
            self.listener.first(file.pread(0, self.head), self.done if ended else self.total)


class _Pace:
    """Ends a transfer that dribbles."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.samples: deque[tuple[float, int]] = deque()

    def keep(self, done: int) -> None:
        now = time.monotonic()
        if not self.samples or now - self.samples[-1][0] > self.limits.slow / 20:
            self.samples.append((now, done))
        while len(self.samples) > 2 and now - self.samples[1][0] > self.limits.slow:
            self.samples.popleft()
        then, before = self.samples[0]
        if now - then > self.limits.slow and (done - before) / (now - then) < self.limits.min_rate:
            raise Broken("slow")


def _content_range(text: str) -> tuple[int | None, int | None]:
    """ "bytes 5-9/10" → (5, 10)."""
    unit, _space, rest = text.partition(" ")
    span, _slash, total = rest.partition("/")
    start = span.partition("-")[0]
    if unit != "bytes" or not start.isdecimal() or not total.isdecimal():
        return None, None
    return int(start), int(total)


class _Recorder:
    """Tells a job's progress of the download, and holds it to quota, space and format."""

    def __init__(self, image: Image, progress: Progress) -> None:
        self.image, self.progress = image, progress
        self.total: int | None = None
        self.most = 0

    def check(self) -> None:
        self.progress.check()

    def announced(self, total: int | None) -> None:
        self.total = total
        if total is None:
            self.most = quotas.budget(self.image.owner)
            return
        quotas.require_size(total)
        quotas.require_space(total)
        steps.reserve(self.image, total)
        self.progress.set(0, total)

    def arrived(self, done: int) -> None:
        if self.total is None and done > self.most:
            quotas.require_size(done)
            steps.reserve(self.image, done)
        self.progress.set(done)

    def first(self, head: bytes, total: int | None) -> None:
        image = self.image
        inspect.inspect_head(head, declared=image.disk_format or "", container=image.container_format or "bare", size=total)


def fetch(job: Job, image: Image, progress: Progress, limits: Limits | None = None) -> UUID:
    """Download into staging, unless an earlier attempt had it all; returns the owner of the staging file."""
    fetched = job.arguments.get("fetched")
    if fetched and staging.size(image.pk) == fetched:
        return image.pk
    progress.step("download")
    size = Download(job.arguments["uri"], image.pk, _Recorder(image, progress), limits, head=uploads.head_size(image)).run()
    job.arguments["fetched"] = size
    Job.objects.filter(pk=job.pk).update(arguments=job.arguments)
    return image.pk
