"""A crash of ours, seen from a client of the API."""

import pytest

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
