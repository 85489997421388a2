"""Rules are data: defaults, the administrator's file on top, read again when it changes and never half-believed."""

import os

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from dashboard.core import policy
from dashboard.core.context import RequestContext
from dashboard.core.errors import Forbidden, Unavailable

alice = RequestContext(user_id="a" * 32, project_id="demo", roles=frozenset({"member", "reader"}))
admin = RequestContext(user_id="b" * 32, project_id="admin", roles=frozenset({"admin", "manager", "member", "reader"}))
unscoped = RequestContext(user_id="c" * 32)
OWN = {"project_id": "demo", "owner": "demo"}


@pytest.fixture(autouse=True)
def _rules():
    policy.register({"test:open": "", "test:own": "role:member and project_id:%(project_id)s", "test:admin": "rule:context_is_admin"})


@pytest.fixture
def policy_file(tmp_path, settings):
    """Writes the administrator's file; each version has another time stamp."""
    settings.POLICY_FILE = tmp_path / "policy.yaml"
    versions = iter(range(1, 100))

    def write(text: str) -> None:
        settings.POLICY_FILE.write_text(text)
        moment = 1_700_000_000 + next(versions)
        os.utime(settings.POLICY_FILE, (moment, moment))

    return write


def test_without_a_file_the_defaults_stand(tmp_path, settings):
    settings.POLICY_FILE = tmp_path / "none.yaml"
    assert policy.allows(alice, "test:own", OWN)
    assert not policy.allows(alice, "test:own", {"project_id": "partner"})
    assert not policy.allows(alice, "test:admin")
    assert policy.allows(admin, "test:admin")


def test_a_rule_nobody_wrote_allows_nothing(tmp_path, settings):
    settings.POLICY_FILE = tmp_path / "none.yaml"
    assert not policy.allows(admin, "test:unknown", OWN)


def test_a_token_without_a_project_matches_no_project(tmp_path, settings):
    settings.POLICY_FILE = tmp_path / "none.yaml"
    assert not policy.allows(unscoped, "test:own", OWN)


def test_a_refusal_names_the_rule(tmp_path, settings):
    settings.POLICY_FILE = tmp_path / "none.yaml"
    with pytest.raises(Forbidden, match="test:admin") as refusal:
        policy.require(alice, "test:admin")
    assert refusal.value.fields == {"rule": "test:admin"}


def test_the_administrators_file_is_read_again_when_it_changes(policy_file, settings):
    policy_file('"test:own": "!"')
    assert not policy.allows(alice, "test:own", OWN)
    policy_file('"test:own": "role:reader"')
    assert policy.allows(alice, "test:own", {"project_id": "partner"})
    settings.POLICY_FILE.unlink()
    assert not policy.allows(alice, "test:own", {"project_id": "partner"})


@pytest.mark.parametrize(
    "broken",
    [
        '"test:own": "role:member and',  # a string without end
        "- a\n- list",
        '"test:own": 7',
        '"test:own": "member"',  # no kind
        '"test:own": "role:member and or role:reader"',
        '"test:own": "rule:nowhere"',
        '"test:own": "rule:test:own"',  # itself
        "\x00",
    ],
)
def test_a_broken_file_leaves_the_last_good_one_in_force(policy_file, broken, caplog):
    policy_file('"test:open": "!"')
    assert not policy.allows(alice, "test:open")
    policy_file(broken)
    for _again in range(3):
        assert not policy.allows(alice, "test:open")
        assert policy.allows(alice, "test:own", OWN)
    assert sum("is refused" in record.message for record in caplog.records) == 1
    policy_file('"test:open": "@"')
    assert policy.allows(alice, "test:open")


def test_broken_from_the_start_nothing_is_allowed_and_the_service_does_not_start(policy_file):
    policy_file('"test:open": "roles are many"')
    policy.register({"test:open": ""})  # as a new process would: nothing was read yet
    with pytest.raises(Unavailable):
        policy.allows(admin, "test:open")
    with pytest.raises(SystemCheckError, match=r"policy\.yaml"):
        call_command("check")
    policy_file("")
    assert policy.allows(admin, "test:open")
    call_command("check")
