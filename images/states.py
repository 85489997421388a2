"""The life cycle of an image: Glance's statuses and moves, and nothing else.

Source: `valid_state_targets` of Glance's domain model.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from dashboard.core.states import StateMachine


class Status(models.TextChoices):
    QUEUED = "queued", _("Queued")
    SAVING = "saving", _("Saving")
    UPLOADING = "uploading", _("Uploading")
    IMPORTING = "importing", _("Importing")
    ACTIVE = "active", _("Active")
    DEACTIVATED = "deactivated", _("Deactivated")
    KILLED = "killed", _("Killed")  # Glance v1's; readable, never written here
    PENDING_DELETE = "pending_delete", _("Pending delete")
    DELETED = "deleted", _("Deleted")


S = Status
LIFECYCLE = StateMachine(
    {
        S.QUEUED: {S.SAVING, S.UPLOADING, S.IMPORTING, S.ACTIVE, S.DELETED},
        S.SAVING: {S.ACTIVE, S.QUEUED, S.DELETED},
        S.UPLOADING: {S.IMPORTING, S.QUEUED, S.DELETED},
        S.IMPORTING: {S.ACTIVE, S.QUEUED, S.DELETED},
        S.ACTIVE: {S.DEACTIVATED, S.PENDING_DELETE, S.DELETED},
        S.DEACTIVATED: {S.ACTIVE, S.DELETED},
        S.PENDING_DELETE: {S.ACTIVE, S.DELETED},
        S.KILLED: {S.DELETED},
        S.DELETED: set(),
    }
)

BUSY = frozenset({S.SAVING, S.UPLOADING, S.IMPORTING})
"""Statuses in which bytes are on their way."""
