"""Pages of the room."""

from django.urls import path

from dashboard.identity import views

app_name = "identity"
urlpatterns = [
    path("login", views.login, name="login"),
    path("logout", views.logout, name="logout"),
]
