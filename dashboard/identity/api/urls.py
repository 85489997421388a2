"""`/identity/v3` on one screen."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
