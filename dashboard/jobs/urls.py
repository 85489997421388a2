"""Pages of the room."""

from django.urls import URLPattern

app_name = "jobs"
urlpatterns: list[URLPattern] = []
