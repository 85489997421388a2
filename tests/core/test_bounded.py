"""Nobody fills the disk with a body that Django would keep before it asks who is there."""

import pytest

from dashboard.core.bounded import LARGEST, bounded

PIECE = 2**20


async def send_body(pieces, headers=()):
    """(status of the answer, bytes the application was given)"""
    sent, taken = [], 0
    waiting = [{"type": "http.request", "body": bytes(PIECE), "more_body": number + 1 < pieces} for number in range(pieces)]

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    async def application(scope, receive, send):
        nonlocal taken
        while (message := await receive())["type"] == "http.request":
            taken += len(message["body"])
            if not message["more_body"]:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                return

    await bounded(application, {"type": "http", "headers": list(headers)}, receive, send)
    return sent[0]["status"], taken


@pytest.mark.parametrize("pieces", [1, LARGEST // PIECE])
async def test_a_body_of_usual_size_passes_whole(pieces):
    assert await send_body(pieces) == (200, pieces * PIECE)


async def test_a_larger_one_is_cut_off_although_its_length_was_not_told():
    status, taken = await send_body(1000)
    assert status == 413 and taken <= LARGEST


async def test_one_that_tells_its_length_is_refused_before_a_byte_of_it():
    assert await send_body(1, [(b"content-length", b"99999999999999999999999")]) == (413, 0)
