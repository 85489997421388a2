"""When something is wrong, a page says so in plain words, whatever else is broken."""

import pytest
from django.db import connection
from django.test import Client, RequestFactory

from dashboard import views


def test_a_page_that_does_not_exist_says_so(alice_page):
    page = alice_page.get("/no/such/page")
    assert page.status_code == 404
    assert "Nothing here" in page.content.decode()


@pytest.mark.django_db
def test_a_form_that_is_not_utf_8_is_refused_and_does_not_crash():
    browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
    browser.get("/login")
    page = browser.post("/login", b"a=b", content_type="application/x-www-form-urlencoded; charset=utf-16")
    assert page.status_code == 400
    assert "could not be understood" in page.content.decode()


@pytest.mark.django_db
def test_a_host_that_is_not_ours_is_refused_in_the_product_s_own_words(client):
    page = client.get("/login", headers={"Host": "evil.example"})
    assert page.status_code == 400
    assert "could not be understood" in page.content.decode()
    assert "evil" not in page.content.decode()


def test_a_crash_is_told_without_asking_the_database():
    def refuse(*args):
        raise AssertionError("the database was asked")

    with connection.execute_wrapper(refuse):
        page = views.crashed(RequestFactory().get("/images/"))
    assert page.status_code == 500
    assert "The fault is ours" in page.content.decode()


def test_a_refusal_gives_its_reason_escaped():
    page = views.forbidden(RequestFactory().get("/"), PermissionError("Only <b>managers</b> may do this."))
    assert page.status_code == 403
    assert "Only &lt;b&gt;managers&lt;/b&gt; may do this." in page.content.decode()
