"""Every prefix of the product on one screen. Image bytes and uploads are answered before
Django, by images.transfer, and so is /healthz, by dashboard.asgi."""

from django.urls import include, path

from dashboard import views

urlpatterns = [
    path("", views.home, name="home"),
    path("readyz", views.readyz, name="readyz"),
    path("", include("dashboard.identity.urls")),
    path("work/", include("dashboard.jobs.urls")),
    path("images/", include("images.urls")),
    path("identity", include("dashboard.identity.api.urls")),
    path("image", include("images.api.urls")),
]
handler400 = "dashboard.views.not_understood"
handler403 = "dashboard.views.forbidden"
handler404 = "dashboard.views.not_found"
handler500 = "dashboard.views.crashed"
