"""Roles, contexts and the first people."""

import pytest

from dashboard.core.context import RequestContext
from dashboard.core.errors import NotFound, Unauthenticated
from dashboard.identity import services
from dashboard.identity.models import Assignment, Domain, Project, Role, User
from tests.factories import PASSWORD, ctx_for, make_project, make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("role", "held"),
    [
        ("admin", {"admin", "manager", "member", "reader"}),
        ("manager", {"manager", "member", "reader"}),
        ("member", {"member", "reader"}),
        ("reader", {"reader"}),
    ],
)
def test_a_role_brings_those_it_implies(role: str, held: set[str]) -> None:
    project = make_project()
    assert ctx_for(make_user(project=project, role=role), project).roles == held


def test_roles_that_imply_each_other_in_a_ring_do_not_hang() -> None:
    project = make_project()
    user = make_user(project=project, role="reader")
    Role.objects.get(name="reader").implies.add(Role.objects.get(name="admin"))
    assert ctx_for(user, project).roles == {"admin", "manager", "member", "reader"}


def test_a_context_names_the_person_and_the_project() -> None:
    demo = make_project("demo")
    alice = make_user("alice", demo)
    ctx = ctx_for(alice, demo)
    assert (ctx.user_id, ctx.user_name, ctx.project_id, ctx.project_name, ctx.domain_id) == (alice.id, "alice", demo.id, "demo", "default")
    assert not ctx.is_admin


def test_without_a_project_nobody_has_a_role() -> None:
    admin = make_user(project=make_project(), role="admin")
    assert ctx_for(admin, None) == RequestContext(user_id=admin.id, user_name=admin.name)


def test_roles_of_one_project_mean_nothing_in_another() -> None:
    user = make_user(project=make_project(), role="admin")
    with pytest.raises(Unauthenticated):
        ctx_for(user, make_project())


@pytest.mark.parametrize("which", ["user", "project", "user_domain", "project_domain"])
def test_what_is_disabled_opens_nothing(which: str) -> None:
    theirs, ours = Domain.objects.create(name="theirs"), Domain.objects.create(name="ours")
    project = make_project(domain_id=theirs.pk)
    user = make_user(project=project, domain_id=ours.pk)
    ctx = ctx_for(user, project)
    assert services.context_of(user.id, project.id) == ctx
    things: dict[str, User | Project | Domain] = {"user": user, "project": project, "user_domain": ours, "project_domain": theirs}
    services.set_enabled(things[which], False)
    with pytest.raises(Unauthenticated):
        services.context_of(user.id, project.id)
    with pytest.raises(Unauthenticated):
        ctx_for(User.objects.get(pk=user.pk), Project.objects.get(pk=project.pk))


def test_a_role_taken_away_is_gone_at_once_and_the_last_one_closes_the_project() -> None:
    project = make_project()
    user = make_user(project=project, role="admin")
    services.grant(user, project, "reader")
    services.revoke(user, project, "admin")
    assert services.context_of(user.id, project.id).roles == {"reader"}
    services.revoke(user, project, "reader")
    with pytest.raises(Unauthenticated):
        services.context_of(user.id, project.id)


def test_a_deleted_user_or_project_opens_nothing() -> None:
    project, other = make_project(), make_project()
    user = make_user(project=project)
    services.grant(user, other, "member")
    other.delete()
    with pytest.raises(Unauthenticated):
        services.context_of(user.id, other.id)
    user.delete()
    with pytest.raises(Unauthenticated):
        services.context_of(user.id, project.id)


def test_granting_twice_is_granting_once_and_an_unknown_role_is_refused() -> None:
    project = make_project()
    user = make_user(project=project)
    services.grant(user, project, "member")
    assert Assignment.objects.filter(user=user).count() == 1
    with pytest.raises(NotFound, match="emperor"):
        services.grant(user, project, "emperor")


def test_a_person_works_in_the_wanted_project_else_the_default_else_the_first() -> None:
    first, second, foreign = make_project("aaa"), make_project("bbb"), make_project("ccc")
    user = make_user(project=second)
    services.grant(user, first, "reader")

    def lands_in(wanted: str | None) -> str:
        ctx = services.context_in(user, wanted)
        assert ctx
        return ctx.project_name

    assert lands_in(first.id) == "aaa"
    assert lands_in(None) == "bbb"
    assert lands_in(foreign.id) == "bbb"
    services.set_enabled(second, False)
    assert lands_in(second.id) == "aaa"


def test_a_person_without_projects_works_nowhere() -> None:
    assert services.context_in(make_user(), None) is None


def test_the_switcher_offers_enabled_projects_by_name() -> None:
    user = make_user(project=make_project("zeta"))
    services.grant(user, make_project("alpha"), "reader")
    gone = make_project("gone")
    services.grant(user, gone, "reader")
    services.set_enabled(gone, False)
    assert [project.name for project in services.projects_of(user)] == ["alpha", "zeta"]


def test_projects_are_named_by_their_ids() -> None:
    demo = make_project("demo")
    assert services.project_names([demo.id, "nothing"]) == {demo.id: "demo"}
    assert services.project_name(demo.id) == "demo"
    assert services.project_name("nothing") == "nothing"


# -- the first people -----------------------------------------------------------------------------------------------
def test_the_first_administrator_gets_a_random_password_once() -> None:
    password = services.bootstrap_admin()
    assert password and len(password) >= 20
    admin = User.objects.get(name="admin", domain_id="default")
    assert admin.check_password(password)
    assert services.context_in(admin, None).is_admin  # type: ignore[union-attr]
    assert services.bootstrap_admin("another") is None
    assert User.objects.get(pk=admin.pk).check_password(password)


def test_the_first_administrator_takes_the_password_given() -> None:
    assert services.bootstrap_admin(PASSWORD) == PASSWORD
    assert User.objects.get(name="admin").check_password(PASSWORD)


def test_the_demo_people_have_their_roles_and_running_it_again_changes_nothing() -> None:
    assert services.bootstrap_demo(PASSWORD) == PASSWORD
    found = {(a.user.name, a.project.name, a.role.name) for a in Assignment.objects.all()}
    assert found == {("alice", "demo", "member"), ("bob", "partner", "member"), ("carol", "demo", "reader")}
    assert services.bootstrap_demo("another") is None
    assert Assignment.objects.count() == 3
    assert User.objects.get(name="alice").check_password(PASSWORD)
