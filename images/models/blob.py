"""Bytes in a store, counted by reference."""

import secrets
import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone


def new_key() -> str:
    """An unguessable key: 128 random bits in hex."""
    return secrets.token_hex(16)


class Blob(models.Model):
    """The bytes of one or more images in one store.

    The row is written (state `writing`) before the first byte, so that nothing in a store is ever unknown to the database;
    `ready` once committed; `deleting` once nobody refers to it. `refs` counts the locations.
    """

    class State(models.TextChoices):
        WRITING = "writing"
        READY = "ready"
        DELETING = "deleting"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    store = models.CharField(max_length=64)
    key = models.CharField(max_length=64, default=new_key, unique=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WRITING)
    size = models.BigIntegerField(default=0)
    sha512 = models.CharField(max_length=128, blank=True)
    refs = models.PositiveIntegerField(default=0)
    lease = models.CharField(max_length=120, blank=True)  # who writes it: a worker's name, see dashboard.jobs.leases
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["store", "sha512", "size"], name="blob_by_content"),
            models.Index(fields=["state"], name="blob_state"),
        ]

    def __str__(self) -> str:
        return f"{self.store}/{self.key}"
