"""`/image` on one screen. PUT and GET of `…/file` and PUT of `…/stage` are answered before Django, by images.transfer.

Like Glance, `/v2/images/` is not the list: a client that lost its id must not act on all images.
"""

from django.urls import re_path

from dashboard.core.api.views import Missing
from images.api.discovery import ImportInfoView, StoresInfoView, UsageInfoView, VersionsView
from images.api.images import DeactivateView, ImagesView, ImageView, ReactivateView, TagView
from images.api.imports import ImportView
from images.api.schemas import ImageSchemaView, ImagesSchemaView
from images.api.tasks import TasksView

IMAGE = r"^/v2/images/(?P<image_id>[^/]+)"

urlpatterns = [
    re_path(r"^/?$", VersionsView.as_view(status=300)),
    re_path(r"^/versions/?$", VersionsView.as_view()),
    re_path(r"^/v2/?$", VersionsView.as_view()),
    re_path(r"^/v2/images$", ImagesView.as_view(), name="images"),
    re_path(IMAGE + r"/?$", ImageView.as_view(), name="image"),
    re_path(IMAGE + r"/tags/(?P<tag>[^/]+)/?$", TagView.as_view(), name="image-tag"),
    re_path(IMAGE + r"/actions/deactivate/?$", DeactivateView.as_view(), name="image-deactivate"),
    re_path(IMAGE + r"/actions/reactivate/?$", ReactivateView.as_view(), name="image-reactivate"),
    re_path(IMAGE + r"/import/?$", ImportView.as_view(), name="image-import"),
    re_path(IMAGE + r"/tasks/?$", TasksView.as_view(), name="image-tasks"),
    re_path(r"^/v2/schemas/image/?$", ImageSchemaView.as_view(), name="schema-image"),
    re_path(r"^/v2/schemas/images/?$", ImagesSchemaView.as_view(), name="schema-images"),
    re_path(r"^/v2/info/import/?$", ImportInfoView.as_view(), name="info-import"),
    re_path(r"^/v2/info/stores/?$", StoresInfoView.as_view(), name="info-stores"),
    re_path(r"^/v2/info/usage/?$", UsageInfoView.as_view(), name="info-usage"),
    re_path(r"^/.*$", Missing.as_view()),
]
