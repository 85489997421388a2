"""Images: the image store. Catalogue, bytes, formats, uploads, imports, pages and `/image/v2`.

Owns images, properties, tags, locations, blobs and uploads. May import jobs, identity and core. Words: an *image* is a record
with a status; its bytes are a *blob* in a *store*; bytes on their way in lie in *staging*; an *upload* is a tus upload of them.
"""
