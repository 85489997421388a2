"""Pages of the room. The websocket /ws/ is `dashboard.jobs.consumers.Live`."""

from django.urls import path
from django.utils.translation import gettext_lazy as _

from dashboard.identity import navigation
from dashboard.jobs import views

app_name = "jobs"
urlpatterns = [
    path("", views.work, name="list"),
    path("bell", views.bell, name="bell"),
    path("<uuid:job_id>/cancel", views.cancel, name="cancel"),
]
navigation.register(group="project", label=_("Work"), url_name="jobs:list", icon="work", order=80)
