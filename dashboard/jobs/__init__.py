"""Jobs: background work as the user sees it, and the socket that shows it live.

A Job row is the truth; Celery only carries its id. A worker holds a lease with a heartbeat; work whose worker died is queued again.
Imports identity and core only. Knows subjects by (type, id), never their models.
"""
