"""Domains, projects, users, roles, assignments, tokens."""

import uuid
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


def new_id() -> str:
    """32 hex digits, as Keystone hands out."""
    return uuid.uuid4().hex


class Domain(models.Model):
    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    name = models.CharField(max_length=64, unique=True)
    description = models.TextField(blank=True)
    enabled = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.name


class Project(models.Model):
    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    domain = models.ForeignKey(Domain, on_delete=models.PROTECT, related_name="projects")
    name = models.CharField(max_length=64)
    description = models.TextField(blank=True)
    enabled = models.BooleanField(default=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["domain", "name"], name="project_name_in_domain")]

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    def create_user(self, name: str, password: str | None = None, *, domain: Domain, **fields: object) -> "User":
        """A user with a hashed password; None makes one who cannot sign in."""
        user = self.model(name=name, domain=domain, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(name=username, domain_id="default")


class User(AbstractBaseUser):
    """A person or a service; unique by name within its domain. Carries the page settings of the dashboard."""

    class Theme(models.TextChoices):
        AUTO = "auto", _("Follow the system")
        LIGHT = "light", _("Light")
        DARK = "dark", _("Dark")

    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    domain = models.ForeignKey(Domain, on_delete=models.PROTECT, related_name="users")
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    email = models.EmailField(blank=True)
    enabled = models.BooleanField(default=True)
    default_project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    time_zone = models.CharField(max_length=64, default="UTC")
    page_size = models.PositiveSmallIntegerField(default=25)
    theme = models.CharField(max_length=8, choices=Theme.choices, default=Theme.AUTO)

    objects = UserManager()
    USERNAME_FIELD = "name"
    REQUIRED_FIELDS: ClassVar = []

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["domain", "name"], name="user_name_in_domain")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        """Django's word for `enabled`; a user of a disabled domain is not active either."""
        return self.enabled and self.domain.enabled


class Role(models.Model):
    """A role name; `implies` makes the holder of this role a holder of those too (admin → manager → member → reader)."""

    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    name = models.CharField(max_length=255, unique=True)
    description = models.TextField(blank=True)
    implies = models.ManyToManyField("self", symmetrical=False, blank=True, related_name="implied_by")

    def __str__(self) -> str:
        return self.name


class Assignment(models.Model):
    """A user holds a role on a project."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="assignments")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="assignments")
    role = models.ForeignKey(Role, on_delete=models.PROTECT, related_name="assignments")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "project", "role"], name="assignment_once")]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.project}"


class Token(models.Model):
    """An API token. The secret itself is never stored, only its SHA-256; deleting the row revokes it and all made from it."""

    digest = models.CharField(primary_key=True, max_length=64)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    project = models.ForeignKey(Project, null=True, on_delete=models.CASCADE, related_name="+")
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="children")
    methods = models.JSONField(default=list)
    audit_ids = models.JSONField(default=list)
    issued_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"token of {self.user}"
