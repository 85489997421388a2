"""Pages of the room."""

from django.urls import path
from django.utils.translation import gettext_lazy as _

from dashboard.identity import navigation, policy
from dashboard.identity.views import account, directory, session

app_name = "identity"
urlpatterns = [
    path("login", session.login, name="login"),
    path("logout", session.logout, name="logout"),
    path("project", session.switch, name="switch"),
    path("settings", account.settings, name="settings"),
    path("password", account.password, name="password"),
    path("identity/projects", directory.projects, name="projects"),
    path("identity/users", directory.users, name="users"),
]
navigation.register(group="identity", label=_("Projects"), url_name="identity:projects", icon="folder", order=10)
navigation.register(
    group="identity",
    label=_("Users"),
    url_name="identity:users",
    icon="people",
    order=20,
    rule=lambda ctx: policy.allows(ctx, "identity:list_users"),
)
