"""One oslo.policy enforcer for every room: rules are data under OpenStack's own names.

Each room calls `register(RULES)` when its policy module is imported. An administrator overrides rules in the file that
`VITRINE_POLICY_FILE` names (YAML, as for any OpenStack service). The file may be absent; it is read again when it changes; a
broken one is logged and the last good one stays in force. Broken at start-up, everything is refused until it is mended.
"""

import functools
import logging
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.utils.translation import gettext as _
from oslo_config import cfg
from oslo_policy import policy as oslo_policy

from dashboard.core.context import RequestContext
from dashboard.core.errors import Forbidden, Unavailable

log = logging.getLogger(__name__)

_defaults: dict[str, str] = {"context_is_admin": "role:admin"}
_lock = threading.Lock()
_current: "_Rulebook | None" = None
_NONE = object()
_refused: object = _NONE  # the stamp of the broken file that was last complained about


class BrokenPolicyFile(Exception):
    """The policy file cannot be used; the text says why."""


class _Rulebook:
    """The rules in force: the defaults with the file's on top, and the stamp of the file they were read from."""

    def __init__(self, path: Path, stamp: object) -> None:
        self.path, self.stamp = path, stamp
        rules = {**_defaults, **(_read(path) if stamp else {})}
        conf = cfg.ConfigOpts()
        conf([], project="vitrine", default_config_files=[], default_config_dirs=[])
        self.enforcer = oslo_policy.Enforcer(conf, use_conf=False)
        self.enforcer.set_rules(oslo_policy.Rules.from_dict(rules), use_conf=False)
        self._judge(rules)
        # A rule that asks another server is asked each time; all others are a pure function of their arguments.
        remote = any(re.search(r"\bhttps?:", check) for check in rules.values())
        self.decide: Callable[..., bool] = self._decide if remote else functools.lru_cache(maxsize=8192)(self._decide)

    def _decide(self, ctx: RequestContext, rule: str, target: frozenset[tuple[str, Any]]) -> bool:
        return bool(self.enforcer.enforce(rule, dict(target), ctx.credentials()))

    def _judge(self, rules: Mapping[str, str]) -> None:
        for name, text in rules.items():
            # oslo.policy reads what it does not understand as "!": count those it was not told.
            if str(self.enforcer.rules[name]).count("!") != text.count("!"):
                raise BrokenPolicyFile(_("rule “%(name)s” cannot be understood: %(text)s") % {"name": name, "text": text})
        try:
            self.enforcer.check_rules(raise_on_violation=True)
        except oslo_policy.InvalidDefinitionError as error:
            raise BrokenPolicyFile(_("a rule refers to itself or to a rule that does not exist: %s") % error) from None


def register(rules: Mapping[str, str]) -> None:
    """Add a room's rules (name → check string) to the defaults."""
    global _current  # noqa: PLW0603
    with _lock:
        _defaults.update(rules)
        _current = None


def allows(ctx: RequestContext, rule: str, target: Mapping[str, Any] | None = None) -> bool:
    """Whether `rule` lets the asker act on `target` (a dictionary such as {"owner": project_id})."""
    return _rulebook().decide(ctx, rule, frozenset((target or {}).items()))


def require(ctx: RequestContext, rule: str, target: Mapping[str, Any] | None = None) -> None:
    """Raise Forbidden, naming the rule, unless `rule` allows it."""
    if not allows(ctx, rule, target):
        raise Forbidden(why(rule), rule=rule)


def why(rule: str) -> str:
    """One sentence for a disabled button or a refusal: which rule forbids it."""
    return _("Your role in this project does not allow this (policy rule “%(rule)s”).") % {"rule": rule}


def problem() -> str:
    """What is wrong with the policy file, or nothing."""
    path = Path(settings.POLICY_FILE)
    try:
        _Rulebook(path, _stamp(path))
    except BrokenPolicyFile as error:
        return str(error)
    return ""


def _rulebook() -> _Rulebook:
    global _current, _refused  # noqa: PLW0603
    path = Path(settings.POLICY_FILE)
    stamp = _stamp(path)
    if (book := _current) and book.path == path and stamp in (book.stamp, _refused):
        return book
    with _lock:
        try:
            _current, _refused = _Rulebook(path, stamp), _NONE
        except BrokenPolicyFile as error:
            if stamp != _refused:
                log.error("The policy file %s is refused: %s", path, error)
            _refused = stamp
            if _current is None or _current.path != path:
                raise Unavailable(_("The policy file is broken; an administrator has to mend it.")) from None
        return _current


def _stamp(path: Path) -> object:
    """Changes whenever the file does; None when there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _read(path: Path) -> dict[str, str]:
    try:
        rules = oslo_policy.parse_file_contents(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        raise BrokenPolicyFile(str(error)) from None
    if not isinstance(rules, dict) or not all(isinstance(part, str) for rule in rules.items() for part in rule):
        raise BrokenPolicyFile(_("it must be a mapping of rule names to check strings"))
    return rules


@checks.register
def check_policy_file(app_configs: object = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Refuse to start with a policy file that does not say what it means."""
    return [checks.Error(f"{settings.POLICY_FILE}: {found}", id="vitrine.E001")] if (found := problem()) else []
