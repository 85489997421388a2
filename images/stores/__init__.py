"""Where image bytes live. `get(name)` gives the driver that VITRINE_STORES names; drivers are loaded by dotted path."""

import functools
import json
from typing import cast

from django.conf import settings
from django.utils.module_loading import import_string

from images.stores.base import Store, Writer

__all__ = ["Store", "Writer", "default_store", "get", "names"]


def get(name: str) -> Store:
    """The store called `name`; KeyError when there is none."""
    return _load(name, json.dumps(settings.STORES[name], sort_keys=True))


def default_store() -> Store:
    return get(settings.DEFAULT_STORE)


def names() -> list[str]:
    return list(settings.STORES)


@functools.lru_cache
def _load(name: str, configuration: str) -> Store:
    options = json.loads(configuration)
    return cast(Store, import_string(options.pop("driver"))(**options))
