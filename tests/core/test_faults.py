"""A crash of ours, seen from a client of the API."""

import pytest
from django.db import OperationalError

from images.api import images as image_api

pytestmark = pytest.mark.django_db


def test_a_crash_is_a_fault_a_client_can_read_and_the_log_has_the_rest(alice, monkeypatch, caplog):
    def crash(*args, **kwargs):
        raise RuntimeError("the inside")

    monkeypatch.setattr(image_api.ImagesView, "get", crash)
    answer = alice.get("/image/v2/images")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == 500
    assert "the inside" not in answer.content.decode()
    assert "the inside" in caplog.text


def test_a_database_that_fails_is_no_crash_but_a_service_not_available_now(alice, monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(image_api.ImagesView, "get", fail)
    answer = alice.get("/image/v2/images")
    assert answer.status_code == 503
    assert "disk" not in answer.content.decode()
    assert "disk is full" in caplog.text
