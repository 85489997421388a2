"""`/identity` and `/identity/v3` on one screen. A slash at the end is as good as none."""

from django.urls import re_path

from dashboard.core.api.views import Missing
from dashboard.identity.api import auth, resources, versions

ID = r"[^/]+"
urlpatterns = [
    re_path(r"^/?$", versions.Versions.as_view()),
    re_path(r"^/v3/?$", versions.Version.as_view()),
    re_path(r"^/v3/auth/tokens/?$", auth.Tokens.as_view()),
    re_path(r"^/v3/auth/catalog/?$", auth.Catalog.as_view()),
    re_path(r"^/v3/auth/projects/?$", auth.Projects.as_view()),
    re_path(r"^/v3/projects/?$", resources.ProjectList.as_view()),
    re_path(rf"^/v3/projects/(?P<project_id>{ID})/?$", resources.ProjectDetail.as_view()),
    re_path(r"^/v3/users/?$", resources.UserList.as_view()),
    re_path(rf"^/v3/users/(?P<user_id>{ID})/?$", resources.UserDetail.as_view()),
    re_path(rf"^/v3/users/(?P<user_id>{ID})/projects/?$", resources.UserProjects.as_view()),
    re_path(r"^/", Missing.as_view()),
]
