"""State machines as tables: every move is one compare-and-set UPDATE."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from django.db import models
from django.utils import timezone

from dashboard.core.errors import InvalidTransition

M = TypeVar("M", bound=models.Model)


class StateMachine:
    """The allowed moves of one `status` column; nothing else assigns it.

    `moves` maps each state to the states that may follow it.
    """

    def __init__(self, moves: Mapping[str, AbstractSet[str]]) -> None:
        self.moves = {str(source): frozenset(str(t) for t in targets) for source, targets in moves.items()}

    def sources(self, target: str) -> frozenset[str]:
        """The states from which `target` can be reached in one move."""
        return frozenset(source for source, targets in self.moves.items() if str(target) in targets)

    def allows(self, source: str, target: str) -> bool:
        return str(target) in self.moves.get(str(source), frozenset())

    def move(self, instance: M, target: str, /, *, only_from: Iterable[str] | None = None, **fields: Any) -> M:
        """Move `instance` to `target`, writing `fields` in the same UPDATE, and bring the instance up to date.

        `only_from` narrows the states it may come from. Raises InvalidTransition when the row is not (any more) in a
        state that allows the move: of two racing callers one succeeds.
        """
        sources = self.sources(target)
        if only_from is not None:
            sources &= {str(s) for s in only_from}
        values = {"status": str(target), **fields}
        if any(f.name == "updated_at" for f in instance._meta.concrete_fields):
            values.setdefault("updated_at", timezone.now())
        manager = type(instance)._base_manager
        if not manager.filter(pk=instance.pk, status__in=sources).update(**values):
            current = manager.filter(pk=instance.pk).values_list("status", flat=True).first()
            raise InvalidTransition(subject=instance, status=current or "deleted", target=str(target))
        for name, value in values.items():
            setattr(instance, name, value)
        return instance
