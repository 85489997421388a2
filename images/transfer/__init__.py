"""The data plane: image bytes between sockets and stores, in constant memory. Plain ASGI, mounted beside Django.

    PUT  /image/v2/images/{id}/file      put.py       GET, HEAD …/file and /images/{id}/download    download.py
    PUT  /image/v2/images/{id}/stage     put.py       tus 1.0 at /uploads/ and /uploads/{id}        tus.py

Every request is authenticated, authorised and measured against quota and space before its first byte is read.
"""

from images.transfer.app import application, handles

__all__ = ["application", "handles"]
