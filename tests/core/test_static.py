"""Static files are for our own pages, and are what they say they are."""

from typing import Any

from dashboard.core.static import StaticFiles


async def test_a_static_file_is_not_sniffed_and_not_for_other_sites(settings, tmp_path):
    (tmp_path / "app.js").write_text("export {};")
    settings.STATIC_ROOT = tmp_path
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    assert await StaticFiles()({"type": "http", "method": "GET", "path": "/static/app.js", "headers": []}, send)
    headers = dict(sent[0]["headers"])
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert b"access-control-allow-origin" not in headers
    assert b"".join(message.get("body", b"") for message in sent) == b"export {};"
