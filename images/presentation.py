"""An image as people read it: its state in words, its tile, its line of facts, its journey. Draws on what it is given; asks nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.utils.translation import pgettext_lazy as labelled

from dashboard.core.context import RequestContext
from dashboard.core.templatetags.display import os_class, os_letter, rate
from dashboard.core.units import duration, filesize
from dashboard.jobs.models import Job
from dashboard.jobs.models import Status as JobStatus
from images.models import Image, Visibility
from images.states import Status

FAILED = frozenset({JobStatus.FAILED, JobStatus.ERRORED, JobStatus.CANCELLED})

DISTRIBUTIONS = {
    "almalinux": "AlmaLinux", "alpine": "Alpine", "arch": "Arch Linux", "centos": "CentOS", "cirros": "CirrOS", "coreos": "CoreOS",
    "debian": "Debian", "fedora": "Fedora", "flatcar": "Flatcar", "freebsd": "FreeBSD", "gentoo": "Gentoo", "netbsd": "NetBSD",
    "openbsd": "OpenBSD", "opensuse": "openSUSE", "oracle": "Oracle Linux", "rhel": "RHEL", "rocky": "Rocky Linux", "sles": "SLES",
    "talos": "Talos", "ubuntu": "Ubuntu", "windows": "Windows",
}  # fmt: skip

TONES = {  # active, working, warn, bad, idle: the colours of the pills
    Status.QUEUED: "idle",
    Status.SAVING: "working",
    Status.UPLOADING: "working",
    Status.IMPORTING: "working",
    Status.ACTIVE: "active",
    Status.DEACTIVATED: "warn",
    Status.KILLED: "bad",
}
STATUS_MEANING = {
    Status.QUEUED: gettext_lazy("The record exists and waits for its data."),
    Status.SAVING: gettext_lazy("The data is being received."),
    Status.UPLOADING: gettext_lazy("The data is being received; it is checked afterwards."),
    Status.IMPORTING: gettext_lazy("The data is being checked, converted and stored."),
    Status.ACTIVE: gettext_lazy("The image is ready to be used."),
    Status.DEACTIVATED: gettext_lazy("Listed, but its data is closed to everyone except administrators."),
    Status.KILLED: gettext_lazy("An upload failed long ago; the image holds no data."),
}
VISIBILITY_MEANING = {
    Visibility.PRIVATE: gettext_lazy("Only the owning project sees and uses it."),
    Visibility.SHARED: gettext_lazy("The owning project, and projects it is shared with."),
    Visibility.COMMUNITY: gettext_lazy("Every project may use it, but only those who know its ID find it."),
    Visibility.PUBLIC: gettext_lazy("Every project sees and uses it."),
}
VISIBILITY_ICONS = {Visibility.PRIVATE: "lock", Visibility.SHARED: "people", Visibility.COMMUNITY: "community", Visibility.PUBLIC: "globe"}
MOVING = frozenset({"send", "download", "verify", "convert", "hash", "store"})  # steps whose speed means something
STEP_NAMES = {
    "send": labelled("step", "Send"),
    "download": labelled("step", "Download"),
    "verify": labelled("step", "Verify"),
    "inspect": labelled("step", "Inspect"),
    "convert": labelled("step", "Convert"),
    "hash": labelled("step", "Hash"),
    "store": labelled("step", "Store"),
    "activate": labelled("step", "Active"),
}


@dataclass(frozen=True)
class State:
    """A word and the tone of its pill; `meaning` is the sentence behind it."""

    word: str
    tone: str
    meaning: str = ""


@dataclass(frozen=True)
class Tile:
    """The coloured square with a letter that stands for the operating system."""

    letter: str
    css: str


@dataclass(frozen=True)
class Step:
    """One station of a job: `state` is done, now, todo or failed; `done`, `total` and `rate` in bytes, None when unknown."""

    name: str
    label: str
    state: str
    done: int | None = None
    total: int | None = None
    rate: float | None = None
    seconds: float | None = None
    note: str = ""

    @property
    def percent(self) -> int | None:
        if self.state == "done":
            return 100
        if not self.total:
            return None
        return min(99, int((self.done or 0) * 100 / self.total))

    @property
    def moving(self) -> bool:
        """Whether its speed means something."""
        return self.name in MOVING

    @property
    def figures(self) -> str:
        """Bytes, speed and time of this step, as far as it has any."""
        parts = [filesize(self.done)] if self.done else []
        if self.state == "now":
            parts = (
                [_("%(done)s of %(total)s") % {"done": filesize(self.done or 0), "total": filesize(self.total)}] if self.total else parts
            )
        if self.rate and self.moving:
            parts.append(rate(self.rate))
        if self.state != "now" and self.seconds and self.seconds >= 1:
            parts.append(duration(self.seconds))
        return " · ".join(parts)


@dataclass
class ImageView:
    """One image for one viewer. `job` is its latest job, already left out when the viewer may not follow it."""

    image: Image
    ctx: RequestContext
    job: Job | None = None
    owner_name: str = ""
    actions: Mapping[str, Any] = field(default_factory=dict)
    query: str = ""

    @cached_property
    def properties(self) -> dict[str, str]:
        return {p.name: p.value for p in self.image.properties.all()}

    @property
    def title(self) -> str:
        """Its name, or its id while it has none."""
        return self.image.name or str(self.image.id)

    @property
    def named(self) -> bool:
        return bool(self.image.name)

    @property
    def own(self) -> bool:
        return self.image.owner == self.ctx.project_id

    @property
    def owner(self) -> str:
        return self.owner_name or self.image.owner

    # -- what it is -------------------------------------------------------------------------------------------------
    @property
    def is_snapshot(self) -> bool:
        return self.properties.get("image_type") == "snapshot" or "block_device_mapping" in self.properties

    @property
    def kind(self) -> str:
        return _("Snapshot") if self.is_snapshot else _("Image")

    @property
    def tile(self) -> Tile:
        distro = self.properties.get("os_distro")
        return Tile("S", "os-snapshot") if self.is_snapshot else Tile(os_letter(self.title, distro), os_class(self.title, distro))

    @property
    def facts(self) -> str:
        """One line under the name: system and version, architecture; else its description."""
        distro = self.properties.get("os_distro", "")
        found = DISTRIBUTIONS.get(os_class(self.image.name, distro).removeprefix("os-")) or distro
        system = " ".join(filter(None, [found, self.properties.get("os_version", "")]))
        base = self.properties.get("base_image_name") or self.properties.get("instance_name")
        if self.is_snapshot:
            system = _("Snapshot of %(name)s") % {"name": base} if base else _("Snapshot")
        architecture = self.properties.get("architecture") or self.properties.get("hw_architecture", "")
        line = " · ".join(filter(None, [system, architecture]))
        return line or self.properties.get("description", "")

    @property
    def matched_by(self) -> str:
        """Why a search found it, when its name does not say so."""
        query = self.query.lower()
        if not query or query in (self.image.name or "").lower():
            return ""
        tag = next((t.value for t in self.image.tags.all() if query in t.value.lower()), "")
        return _("tag: %(tag)s") % {"tag": tag} if tag else _("found by its ID")

    # -- how it fares -----------------------------------------------------------------------------------------------
    @property
    def failed(self) -> bool:
        """Its latest job ended without the image getting its data."""
        return self.image.status == Status.QUEUED and self.job is not None and self.job.status in FAILED

    @property
    def working(self) -> bool:
        return self.job is not None and self.job.is_live

    @property
    def state(self) -> State:
        status = self.image.status
        if self.failed and self.job is not None:
            if self.job.status == JobStatus.CANCELLED:
                return State(_("Cancelled"), "warn", self.reason)
            return State(_("Failed"), "bad", self.reason)
        if status == Status.QUEUED and not self.working:
            return State(_("No data yet"), "idle", str(STATUS_MEANING[Status.QUEUED]))
        return State(str(Status(status).label), TONES.get(Status(status), "idle"), str(STATUS_MEANING.get(Status(status), "")))

    @property
    def reason(self) -> str:
        """Why it failed, in a sentence."""
        if self.job is None:
            return ""
        if self.job.message:
            return self.job.message
        if not self.own and not self.ctx.is_admin:
            return _("The reason is told only to the project that owns the image.")
        return _("It was cancelled.") if self.job.status == JobStatus.CANCELLED else _("No reason was recorded.")

    @property
    def steps(self) -> list[Step]:
        return journey(self.job) if self.job is not None else []

    # -- its figures ------------------------------------------------------------------------------------------------
    @property
    def visibility(self) -> str:
        return str(Visibility(self.image.visibility).label)

    @property
    def visibility_icon(self) -> str:
        return VISIBILITY_ICONS[Visibility(self.image.visibility)]

    @property
    def visibility_meaning(self) -> str:
        return str(VISIBILITY_MEANING[Visibility(self.image.visibility)])

    @property
    def format(self) -> str:
        return (self.image.disk_format or "").upper()

    @property
    def target_format(self) -> str:
        """The format it is being converted to, while that is still to come."""
        target = str((self.job.arguments or {}).get("target_format") or "") if self.job is not None and self.job.is_live else ""
        return target.upper() if target and target != self.image.disk_format else ""

    @property
    def size(self) -> int | None:
        """Bytes stored; while data arrives, what was announced."""
        if self.image.size is not None:
            return self.image.size
        if self.job is None or not self.working:
            return None
        arriving = [step.total for step in self.steps if step.name in {"send", "download"}]
        return next(filter(None, arriving), None)


def journey(job: Job) -> list[Step]:
    """The steps of a job with their figures; nothing is called done before it is."""
    plan: list[dict[str, Any]] = list(job.steps or [])
    names = [str(step.get("name", "")) for step in plan]
    at = names.index(job.stage) if job.stage in names else (len(names) if job.status == JobStatus.SUCCEEDED else 0)
    return [_step(job, step, index, at) for index, step in enumerate(plan)]


def _step(job: Job, step: Mapping[str, Any], index: int, at: int) -> Step:
    name = str(step.get("name", ""))
    seconds, done, total = step.get("seconds"), step.get("done"), step.get("total")
    speed = None
    if job.status == JobStatus.SUCCEEDED or index < at:
        state = "done"
        speed = done / seconds if done and seconds else None
    elif index > at:
        state = "todo"
    else:
        state = "now" if job.is_live else "failed"
        if job.stage == name:
            done, total, speed = job.done, job.total, job.rate or None
    return Step(
        name,
        str(STEP_NAMES.get(name, name.replace("_", " ").capitalize())),
        state,
        done,
        total,
        speed,
        seconds,
        str(step.get("note") or ""),
    )


def follow(ctx: RequestContext, image: Image, job: Job | None) -> Job | None:
    """The job as far as this viewer may follow it.

    People of the owning project and administrators see all of it; everyone else, when it says so, its figures and its outcome,
    but as on the socket neither the reason of a failure nor who began it.
    """
    if job is None or ctx.is_admin or image.owner == ctx.project_id:
        return job
    if not job.everyone:
        return None
    job.message = job.user_id = job.user_name = ""
    return job
