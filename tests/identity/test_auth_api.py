"""POST, GET, HEAD and DELETE /identity/v3/auth/tokens, and what hangs on them, in Keystone's words."""

import json
from typing import Any

import pytest
from django.test import Client

from dashboard.identity import services, tokens
from dashboard.identity.models import Domain, Token
from tests.conftest import ApiClient
from tests.factories import PASSWORD, make_project, make_user

pytestmark = pytest.mark.django_db

TOKENS = "/identity/v3/auth/tokens"
NEEDS = "The request you have made requires authentication."
DEFAULT = {"id": "default"}


def password_auth(name: str = "alice", password: Any = PASSWORD, scope: Any = None, **user: Any) -> dict[str, Any]:
    user = {"name": name, "domain": DEFAULT, **user, "password": password}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    return {"auth": auth | ({"scope": scope} if scope is not None else {})}


def token_auth(secret: str, scope: Any = None) -> dict[str, Any]:
    auth: dict[str, Any] = {"identity": {"methods": ["token"], "token": {"id": secret}}}
    return {"auth": auth | ({"scope": scope} if scope is not None else {})}


def sign_in(client: Client, body: Any, path: str = TOKENS, **extra: Any) -> Any:
    return client.post(path, body, content_type="application/json", **extra)


# -- a right password ------------------------------------------------------------------------------------------------
def test_alice_gets_a_token_for_her_project_with_everything_clients_read(client, alice: ApiClient) -> None:
    response = sign_in(client, password_auth(scope={"project": {"name": "demo", "domain": {"name": "Default"}}}))
    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "no-store"
    token = response.json()["token"]
    assert token["user"] == {
        "id": alice.user.id, "name": "alice", "domain": {"id": "default", "name": "Default"}, "password_expires_at": None
    }  # fmt: skip
    assert token["project"] == {"id": alice.project.id, "name": "demo", "domain": {"id": "default", "name": "Default"}}
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    assert token["methods"] == ["password"] and len(token["audit_ids"]) == 1
    assert token["issued_at"].endswith("Z") and token["expires_at"].endswith(".000000Z")
    assert tokens.validate(response.headers["X-Subject-Token"])[1] == alice.ctx


@pytest.mark.parametrize("path", [TOKENS, TOKENS + "/"])
def test_a_slash_at_the_end_is_as_good_as_none(client, alice: ApiClient, path: str) -> None:
    assert sign_in(client, password_auth(), path).status_code == 201


def test_user_and_project_may_be_named_by_id(client, alice: ApiClient) -> None:
    body = password_auth(scope={"project": {"id": alice.project.id}})
    body["auth"]["identity"]["password"]["user"] = {"id": alice.user.id, "password": PASSWORD}
    assert sign_in(client, body).json()["token"]["project"]["name"] == "demo"


def test_without_a_scope_the_default_project_is_meant(client, alice: ApiClient) -> None:
    assert sign_in(client, password_auth()).json()["token"]["project"]["name"] == "demo"


def test_without_a_default_project_the_token_is_unscoped(client, alice: ApiClient) -> None:
    make_user("dora", None)
    token = sign_in(client, password_auth("dora")).json()["token"]
    assert not {"project", "roles", "catalog"} & set(token)


def test_a_default_project_one_was_removed_from_gives_an_unscoped_token(client, alice: ApiClient) -> None:
    services.revoke(alice.user, alice.project, "member")
    response = sign_in(client, password_auth())
    assert response.status_code == 201 and "project" not in response.json()["token"]


@pytest.mark.parametrize("scope", [{"unscoped": {}}, "unscoped"])
def test_unscoped_is_unscoped_when_asked_for(client, alice: ApiClient, scope: Any) -> None:
    token = sign_in(client, password_auth(scope=scope)).json()["token"]
    assert "project" not in token and "catalog" not in token


def test_users_of_one_name_in_two_domains_are_two_people(client, alice: ApiClient) -> None:
    Domain.objects.create(pk="otherdomain", name="Other")
    make_user("alice", None, password="quite another one", domain_id="otherdomain")
    assert sign_in(client, password_auth(domain={"name": "Other"})).status_code == 401
    token = sign_in(client, password_auth(password="quite another one", domain={"name": "Other"})).json()["token"]
    assert token["user"]["domain"] == {"id": "otherdomain", "name": "Other"}


def test_a_stale_token_sent_along_does_not_hinder_signing_in(client, alice: ApiClient) -> None:
    assert sign_in(client, password_auth(), headers={"X-Auth-Token": "vtr_stale"}).status_code == 201


# -- refusals --------------------------------------------------------------------------------------------------------
def _refusals() -> dict[str, dict[str, Any]]:
    return {
        "wrong password": password_auth(password="wrong"),
        "empty password": password_auth(password=""),
        "unknown user": password_auth("nobody"),
        "unknown user id": password_auth(id="0" * 32),
        "unknown domain": password_auth(domain={"name": "Nowhere"}),
        "unknown domain id": password_auth(domain={"id": "nowhere"}),
        "endless password": password_auth(password="x" * 4097),
        "NUL in the name": password_auth("al\0ice"),
        "NUL in the password": password_auth(password="\0"),
        "unknown project": password_auth(scope={"project": {"id": "0" * 32}}),
        "unknown project name": password_auth(scope={"project": {"name": "nothing", "domain": DEFAULT}}),
        "a foreign project": password_auth(scope={"project": {"name": "partner", "domain": DEFAULT}}),
        "a domain": password_auth(scope={"domain": DEFAULT}),
        "the system": password_auth(scope={"system": {"all": True}}),
        "a made-up token": token_auth("vtr_" + "A" * 43),
        "an empty token": token_auth(""),
    }


@pytest.mark.parametrize("case", _refusals())
def test_refused_in_the_same_words(client, alice: ApiClient, partner: Any, case: str) -> None:
    before = Token.objects.count()
    response = sign_in(client, _refusals()[case])
    assert response.status_code == 401
    assert response.json() == {"error": {"code": 401, "title": "Unauthorized", "message": NEEDS}}
    assert response.headers["WWW-Authenticate"].startswith('Keystone uri="')
    assert Token.objects.count() == before


def test_a_disabled_user_is_refused_like_an_unknown_one(client, alice: ApiClient) -> None:
    services.set_enabled(alice.user, False)
    disabled, unknown = sign_in(client, password_auth()), sign_in(client, password_auth("nobody"))
    assert (disabled.status_code, disabled.content) == (unknown.status_code, unknown.content) == (401, unknown.content)


def test_another_method_is_refused_by_name(client) -> None:
    response = sign_in(client, {"auth": {"identity": {"methods": ["totp"], "totp": {}}}})
    assert response.status_code == 401
    assert response.json()["error"]["message"] == "Attempted to authenticate with an unsupported method."


def test_two_methods_must_agree_who_it_is(client, alice: ApiClient, bob: ApiClient) -> None:
    body = password_auth()
    body["auth"]["identity"] |= {"methods": ["password", "token"], "token": {"id": bob.token}}
    assert sign_in(client, body).status_code == 401
    body["auth"]["identity"]["token"]["id"] = alice.token
    assert sign_in(client, body).json()["token"]["methods"] == ["password", "token"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "auth",
        {"auth": None},
        {"auth": {}},
        {"auth": {"identity": {}}},
        {"auth": {"identity": {"methods": []}}},
        {"auth": {"identity": {"methods": "password"}}},
        {"auth": {"identity": {"methods": ["password"]}}},
        {"auth": {"identity": {"methods": ["token"], "token": {}}}},
        password_auth(password=12345678),
        password_auth(password=None),
        password_auth(domain={}),
        password_auth(domain="default"),
        {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "alice", "password": "secret-thing"}}}}},
        password_auth(scope={"project": {"name": "demo"}}),
        password_auth(scope={"project": {"id": "a"}, "domain": DEFAULT}),
        password_auth(scope={"planet": {}}),
        password_auth(scope=["project"]),
        password_auth(scope="everything"),
    ],
)
def test_a_body_that_is_no_request_for_a_token_is_400_and_repeats_no_secret(client, alice: ApiClient, body: Any) -> None:
    response = sign_in(client, body)
    assert response.status_code == 400, response.content
    assert response.json()["error"]["code"] == 400
    assert PASSWORD not in response.content.decode() and "secret-thing" not in response.content.decode()


@pytest.mark.parametrize("raw", ["", "{", "nonsense", "[" * 50_000, '{"auth": NaN}'])
def test_what_is_not_json_is_400(client, raw: str) -> None:
    response = client.post(TOKENS, raw, content_type="application/json")
    assert response.status_code == 400 and response.json()["error"]["title"] == "Bad Request"


def test_a_form_is_not_json(client) -> None:
    """A page elsewhere can make a browser send a form or plain text, but not JSON."""
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert client.post(TOKENS, json.dumps(password_auth()), content_type=kind).status_code == 415


def test_a_body_without_end_is_413(client) -> None:
    assert client.post(TOKENS, " " * (2**20 + 1), content_type="application/json").status_code == 413


# -- tokens from tokens ----------------------------------------------------------------------------------------------
def test_an_unscoped_token_becomes_a_scoped_one_that_ends_with_it(client, alice: ApiClient) -> None:
    first = sign_in(client, password_auth(scope={"unscoped": {}}))
    second = sign_in(client, token_auth(first.headers["X-Subject-Token"], {"project": {"id": alice.project.id}}))
    parent, child = first.json()["token"], second.json()["token"]
    assert child["project"]["id"] == alice.project.id
    assert child["expires_at"] == parent["expires_at"]
    assert child["audit_ids"][1:] == parent["audit_ids"]
    client.delete(TOKENS, headers={"X-Auth-Token": alice.token, "X-Subject-Token": first.headers["X-Subject-Token"]})
    answer = client.get("/identity/v3/auth/projects", headers={"X-Auth-Token": second.headers["X-Subject-Token"]})
    assert answer.status_code == 401


def test_a_token_opens_no_project_its_user_is_not_in(client, alice: ApiClient, bob: ApiClient) -> None:
    assert sign_in(client, token_auth(alice.token, {"project": {"id": bob.project.id}})).status_code == 401


# -- showing and revoking --------------------------------------------------------------------------------------------
def test_a_token_shows_itself(alice: ApiClient) -> None:
    response = alice.get(TOKENS, headers={"X-Subject-Token": alice.token})
    assert response.status_code == 200
    assert response.headers["X-Subject-Token"] == alice.token
    assert response.json()["token"]["user"]["name"] == "alice" and response.json()["token"]["catalog"]
    assert "catalog" not in alice.get(TOKENS + "?nocatalog", headers={"X-Subject-Token": alice.token}).json()["token"]
    head = alice.head(TOKENS, headers={"X-Subject-Token": alice.token})
    assert head.status_code == 200 and not head.content


@pytest.mark.parametrize("method", ["get", "head", "delete"])
def test_only_its_owner_and_an_administrator_handle_a_token(alice: ApiClient, bob: ApiClient, admin: ApiClient, method: str) -> None:
    subject = {"X-Subject-Token": alice.token}
    assert getattr(bob, method)(TOKENS, headers=subject).status_code == 403
    assert getattr(admin, method)(TOKENS, headers=subject).status_code in {200, 204}


@pytest.mark.parametrize("subject", [{}, {"X-Subject-Token": ""}, {"X-Subject-Token": "vtr_" + "A" * 43}])
@pytest.mark.parametrize("method", ["get", "head", "delete"])
def test_a_token_that_is_none_is_404(admin: ApiClient, method: str, subject: dict[str, str]) -> None:
    assert getattr(admin, method)(TOKENS, headers=subject).status_code == 404


@pytest.mark.parametrize("method", ["get", "head", "delete"])
def test_nobody_asks_about_tokens_without_one(client, alice: ApiClient, method: str) -> None:
    assert getattr(client, method)(TOKENS, headers={"X-Subject-Token": alice.token}).status_code == 401


def test_a_revoked_token_is_gone(alice: ApiClient) -> None:
    response = alice.delete(TOKENS, headers={"X-Subject-Token": alice.token})
    assert response.status_code == 204 and not response.content
    assert alice.get("/identity/v3/auth/projects").status_code == 401


def test_a_browser_session_opens_no_api(alice_page) -> None:
    assert alice_page.get("/identity/v3/auth/projects").status_code == 401
    assert alice_page.get("/identity/v3/auth/projects", headers={"X-Auth-Token": ""}).status_code == 401


@pytest.mark.parametrize("name", ["X-Roles", "X-User-Id", "X-Project-Id", "X-Is-Admin-Project", "X-Identity-Status", "Authorization"])
def test_identity_headers_from_outside_mean_nothing(client, alice: ApiClient, name: str) -> None:
    assert client.get("/identity/v3/auth/projects", headers={name: "admin"}).status_code == 401
    assert alice.get("/identity/v3/projects", headers={name: "admin"}).status_code == 403


# -- catalog, projects, versions -------------------------------------------------------------------------------------
def test_the_catalog_names_each_service_three_times(alice: ApiClient) -> None:
    catalog = alice.get("/identity/v3/auth/catalog").json()["catalog"]
    found = {(s["type"], s["name"], e["interface"], e["region_id"], e["url"]) for s in catalog for e in s["endpoints"]}
    expected = {("identity", "keystone", "/identity/v3"), ("image", "glance", "/image")}
    assert found == {(t, n, i, "RegionOne", "http://testserver" + p) for t, n, p in expected for i in ("public", "internal", "admin")}


def test_the_catalog_names_the_public_url_when_there_is_one(alice: ApiClient, settings) -> None:
    settings.PUBLIC_URL = "https://images.example.org/"
    catalog = alice.get("/identity/v3/auth/catalog").json()["catalog"]
    assert {e["url"] for s in catalog for e in s["endpoints"]} == {
        "https://images.example.org/identity/v3",
        "https://images.example.org/image",
    }


def test_an_unscoped_token_has_no_catalog(client, alice: ApiClient) -> None:
    secret, _row = tokens.issue(alice.user)
    assert client.get("/identity/v3/auth/catalog", headers={"X-Auth-Token": secret}).status_code == 403


def test_everyone_sees_the_projects_he_may_work_in(alice: ApiClient, bob: ApiClient) -> None:
    body = alice.get("/identity/v3/auth/projects").json()
    assert [project["name"] for project in body["projects"]] == ["demo"]
    assert body["links"]["self"] == "http://testserver/identity/v3/auth/projects"


def test_version_documents_are_open_to_everyone(client) -> None:
    for path in ("/identity", "/identity/"):
        listing = client.get(path)
        assert listing.status_code == 300
        (version,) = listing.json()["versions"]["values"]
        assert version["links"] == [{"rel": "self", "href": "http://testserver/identity/v3/"}]
    for path in ("/identity/v3", "/identity/v3/"):
        single = client.get(path)
        assert single.status_code == 200
        assert single.json()["version"]["id"].startswith("v3.") and single.json()["version"]["status"] == "stable"


def test_a_path_that_is_nothing_is_404_as_json(alice: ApiClient) -> None:
    response = alice.get("/identity/v3/nothing/here")
    assert response.status_code == 404 and response.json()["error"]["title"] == "Not Found"


# -- looking people and projects up ----------------------------------------------------------------------------------
def test_members_look_up_themselves_and_their_project_only(alice: ApiClient, bob: ApiClient) -> None:
    assert alice.get(f"/identity/v3/users/{alice.user.id}").json()["user"]["name"] == "alice"
    assert alice.get(f"/identity/v3/projects/{alice.project.id}").json()["project"]["name"] == "demo"
    assert alice.get(f"/identity/v3/users/{alice.user.id}/projects").json()["projects"][0]["name"] == "demo"
    foreign, unknown = alice.get(f"/identity/v3/users/{bob.user.id}"), alice.get(f"/identity/v3/users/{'0' * 32}")
    assert (foreign.status_code, foreign.content) == (unknown.status_code, unknown.content)
    assert foreign.status_code == 403
    assert alice.get(f"/identity/v3/projects/{bob.project.id}").status_code == 403
    assert alice.get("/identity/v3/users").status_code == alice.get("/identity/v3/projects").status_code == 403


def test_an_administrator_looks_up_everyone(admin: ApiClient, alice: ApiClient) -> None:
    assert admin.get(f"/identity/v3/users/{alice.user.id}").status_code == 200
    assert [u["name"] for u in admin.get("/identity/v3/users", {"name": "alice"}).json()["users"]] == ["alice"]
    assert {p["name"] for p in admin.get("/identity/v3/projects").json()["projects"]} == {"admin", "demo"}
    assert [p["name"] for p in admin.get("/identity/v3/projects", {"name": "demo"}).json()["projects"]] == ["demo"]
    assert admin.get("/identity/v3/projects/nothing").status_code == 404


def test_a_long_list_is_cut_and_says_so(admin: ApiClient, settings) -> None:
    settings.API_LIMIT_MAX = 2
    for _number in range(3):
        make_project()
    body = admin.get("/identity/v3/projects").json()
    assert len(body["projects"]) == 2 and body["truncated"] is True
