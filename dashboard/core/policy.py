"""One oslo.policy enforcer for every room: rules are data under OpenStack's own names.

Each room calls `register(RULES)` when its policy module is imported. An administrator overrides rules in the file that
`VITRINE_POLICY_FILE` names (YAML, as for any OpenStack service); it is read again when it changes.
"""

import functools
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from oslo_config import cfg
from oslo_policy import policy as oslo_policy

from dashboard.core.context import RequestContext
from dashboard.core.errors import Forbidden

_defaults: dict[str, str] = {}


def register(rules: Mapping[str, str]) -> None:
    """Add a room's rules (name → check string) to the defaults."""
    _defaults.update(rules)
    _enforcer.cache_clear()


@functools.lru_cache(maxsize=1)
def _enforcer() -> oslo_policy.Enforcer:
    conf = cfg.ConfigOpts()
    conf([], project="vitrine", default_config_files=[], default_config_dirs=[])
    enforcer = oslo_policy.Enforcer(conf, policy_file=str(settings.POLICY_FILE), use_conf=True)
    # Absent is legal: the defaults below then stand alone.
    enforcer.register_defaults([oslo_policy.RuleDefault(name, check) for name, check in _defaults.items()])
    return enforcer


def allows(ctx: RequestContext, rule: str, target: Mapping[str, Any] | None = None) -> bool:
    """Whether `rule` lets the asker act on `target` (a dictionary such as {"owner": project_id})."""
    return bool(_enforcer().enforce(rule, dict(target or {}), ctx.credentials()))


def require(ctx: RequestContext, rule: str, target: Mapping[str, Any] | None = None) -> None:
    """Raise Forbidden, naming the rule, unless `rule` allows it."""
    if not allows(ctx, rule, target):
        raise Forbidden(why(rule), rule=rule)


def why(rule: str) -> str:
    """One sentence for a disabled button or a refusal: which rule forbids it."""
    from django.utils.translation import gettext as _

    return _("Your role in this project does not allow this (policy rule “%(rule)s”).") % {"rule": rule}
