"""The project: the roof over every room (urls, asgi, settings, celery) and the ground below them (core, identity, jobs).

Nothing imports the roof but this file, which loads the Celery application as Celery's manual has it.
"""

from dashboard.celery import app as celery_app

__all__ = ["celery_app"]
