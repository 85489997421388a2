"""Keystone's rule names for what this room answers so far."""

from dashboard.core import policy

RULES = {
    "identity:list_projects": "role:admin",
    "identity:get_project": "role:admin or project_id:%(target.project.id)s",
    "identity:list_users": "role:admin",
    "identity:get_user": "role:admin or user_id:%(target.user.id)s",
    "identity:list_user_projects": "role:admin or user_id:%(target.user.id)s",
    "identity:check_token": "role:admin or user_id:%(target.token.user_id)s",
    "identity:validate_token": "role:admin or user_id:%(target.token.user_id)s",
    "identity:revoke_token": "role:admin or user_id:%(target.token.user_id)s",
}
policy.register(RULES)

allows, require = policy.allows, policy.require
