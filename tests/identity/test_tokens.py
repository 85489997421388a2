"""Tokens: what they are, and everything that ends them."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard.core.errors import Unauthenticated
from dashboard.identity import services, tokens
from dashboard.identity.models import Assignment, Project, Token, User
from tests.conftest import ApiClient
from tests.factories import make_project, make_user

pytestmark = pytest.mark.django_db

ME = "/identity/v3/auth/projects"


def test_only_the_hash_of_a_token_is_stored(alice: ApiClient) -> None:
    row = Token.objects.get(user=alice.user)
    assert alice.token.startswith("vtr_")
    assert alice.token not in str(list(Token.objects.values()))
    assert row.digest == tokens.digest(alice.token)


def test_a_token_lives_as_long_as_the_settings_say(alice: ApiClient, settings) -> None:
    settings.TOKEN_LIFETIME = 120
    _secret, token = tokens.issue(alice.user, alice.project)
    assert timedelta(seconds=118) < token.expires_at - timezone.now() <= timedelta(seconds=120)


def test_checking_a_token_hashes_no_password_and_takes_three_queries(alice: ApiClient, settings) -> None:
    settings.PASSWORD_HASHERS = []
    with CaptureQueriesContext(
        connection,
    ) as queries:
        tokens.validate(alice.token)
    assert len(queries) == 3


# -- what ends a token: each of these must be refused with the very next request -------------------------------------
def _expire(person: ApiClient) -> None:
    Token.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def _log_out(person: ApiClient) -> None:
    person.delete("/identity/v3/auth/tokens", headers={"X-Subject-Token": person.token})


def _disable_default_domain(person: ApiClient) -> None:
    services.set_enabled(person.user.domain, False)


CAUSES: dict[str, Callable[[ApiClient], object]] = {
    "expired": _expire,
    "logged out": _log_out,
    "password changed": lambda person: services.set_password(person.user, "a new long password"),
    "role taken away": lambda person: services.revoke(person.user, person.project, "member"),
    "assignment row deleted": lambda person: Assignment.objects.filter(user=person.user).delete(),
    "user disabled": lambda person: services.set_enabled(person.user, False),
    "user disabled behind our back": lambda person: User.objects.filter(pk=person.user.pk).update(enabled=False),
    "user deleted": lambda person: person.user.delete(),
    "project disabled": lambda person: services.set_enabled(person.project, False),
    "project disabled behind our back": lambda person: Project.objects.filter(pk=person.project.pk).update(enabled=False),
    "project deleted": lambda person: person.project.delete(),
    "domain disabled": _disable_default_domain,
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_token_ends_at_once_when(cause: str, alice: ApiClient) -> None:
    assert alice.get(ME).status_code == 200
    CAUSES[cause](alice)
    response = alice.get(ME)
    assert response.status_code == 401
    assert response.json()["error"]["message"] == "The request you have made requires authentication."


@pytest.mark.parametrize("thing", ["user", "project"])
def test_enabling_again_brings_no_token_back(thing: str, alice: ApiClient) -> None:
    target = getattr(alice, thing)
    services.set_enabled(target, False)
    services.set_enabled(target, True)
    assert alice.get(ME).status_code == 401


def test_taking_a_role_away_leaves_tokens_for_other_projects_alone(alice: ApiClient) -> None:
    other = make_project("other")
    services.grant(alice.user, other, "member")
    secret, _token = tokens.issue(alice.user, other)
    services.revoke(alice.user, alice.project, "member")
    assert tokens.validate(secret)[1].project_id == other.id


def test_taking_one_of_two_roles_away_ends_the_token_too(alice: ApiClient) -> None:
    services.grant(alice.user, alice.project, "admin")
    services.revoke(alice.user, alice.project, "admin")
    assert alice.get(ME).status_code == 401
    assert services.context_for(alice.user, alice.project).roles == {"member", "reader"}


def test_roles_are_those_of_this_moment_not_of_the_issue(alice: ApiClient) -> None:
    services.grant(alice.user, alice.project, "admin")
    assert tokens.validate(alice.token)[1].is_admin
    Assignment.objects.filter(user=alice.user, role__name="admin").delete()
    assert not tokens.validate(alice.token)[1].is_admin


# -- tokens from tokens ----------------------------------------------------------------------------------------------
def test_a_token_from_a_token_never_outlives_it_and_carries_on_its_audit_chain(alice: ApiClient) -> None:
    parent = alice.token_row
    Token.objects.filter(pk=parent.pk).update(expires_at=(soon := (timezone.now() + timedelta(seconds=60)).replace(microsecond=0)))
    parent.refresh_from_db()
    _secret, child = tokens.issue(alice.user, alice.project, methods=("token",), parent=parent)
    _secret, grandchild = tokens.issue(alice.user, None, methods=("token",), parent=child)
    assert child.expires_at == grandchild.expires_at == soon
    assert child.audit_ids[1:] == grandchild.audit_ids[1:] == parent.audit_ids
    assert len({parent.audit_ids[0], child.audit_ids[0], grandchild.audit_ids[0]}) == 3
    assert grandchild.methods == ["password", "token"]


def test_revoking_a_token_revokes_all_made_from_it_and_none_other(alice: ApiClient) -> None:
    child_secret, child = tokens.issue(alice.user, parent=alice.token_row)
    grandchild_secret, _row = tokens.issue(alice.user, parent=child)
    other_secret, _row = tokens.issue(alice.user)
    tokens.revoke(child)
    for secret in (child_secret, grandchild_secret):
        with pytest.raises(Unauthenticated):
            tokens.validate(secret)
    assert tokens.validate(alice.token) and tokens.validate(other_secret)


def test_no_token_is_made_from_one_that_was_revoked_meanwhile(alice: ApiClient) -> None:
    stale = Token.objects.get(pk=alice.token_row.pk)
    tokens.revoke(alice.token_row)
    with pytest.raises(Unauthenticated):
        tokens.issue(alice.user, parent=stale)


def test_no_token_is_made_on_a_password_that_was_changed_meanwhile(alice: ApiClient) -> None:
    checked = User.objects.select_related("domain").get(pk=alice.user.pk)
    services.set_password(alice.user, "a new long password")
    with pytest.raises(Unauthenticated):
        tokens.issue(checked, alice.project)
    assert not Token.objects.filter(user=checked).exists()


def test_no_token_is_made_for_a_project_one_is_not_in(alice: ApiClient) -> None:
    with pytest.raises(Unauthenticated):
        tokens.issue(alice.user, make_project("foreign"))


# -- noise -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "noise", ["", " ", "null", "undefined", "0", "x" * 10_000, "vtr_", "vtr_" + "A" * 43, "vtr_" + "ä" * 43, "VTR_" + "A" * 43, "\x00"]
)
def test_a_made_up_token_is_refused_and_writes_nothing(noise: str, alice: ApiClient) -> None:
    with CaptureQueriesContext(connection) as queries:
        response = alice.get(ME, headers={"X-Auth-Token": noise})
    assert response.status_code == 401
    assert not [query for query in queries if not query["sql"].startswith("SELECT")]


def test_expired_tokens_are_removed_as_new_ones_are_made(alice: ApiClient) -> None:
    for _number in range(3):
        tokens.issue(alice.user)
    Token.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    _secret, fresh = tokens.issue(make_user(), None)
    assert list(Token.objects.all()) == [fresh]
