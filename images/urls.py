"""Pages of the room. The bytes behind /images/<id>/download are answered by images.transfer, before Django."""

from django.urls import path
from django.utils.translation import gettext_lazy as _

from dashboard.identity import navigation
from images import policy
from images.views import actions, detail, listing, upload

app_name = "images"
urlpatterns = [
    path("", listing.images, name="list"),
    path("all", listing.everything, name="all"),
    path("delete", actions.delete_many, name="delete-many"),
    path("<uuid:image_id>/", detail.detail, name="detail"),
    path("<uuid:image_id>/row", listing.row, name="row"),
    path("<uuid:image_id>/edit", detail.edit, name="edit"),
    path("<uuid:image_id>/why", actions.why, name="why"),
    path("<uuid:image_id>/delete", actions.delete, name="delete"),
    path("<uuid:image_id>/deactivate", actions.deactivate, name="deactivate"),
    path("<uuid:image_id>/reactivate", actions.reactivate, name="reactivate"),
    # getting bytes: images.views.upload
    path("create", upload.create, name="create"),
    path("preflight", upload.preflight, name="preflight"),
    path("<uuid:image_id>/preflight", upload.preflight, name="preflight"),
    path("<uuid:image_id>/upload", upload.upload, name="upload"),
    path("<uuid:image_id>/retry", upload.retry, name="retry"),
    path("<uuid:image_id>/cancel", upload.cancel, name="cancel"),
    path("<uuid:image_id>/throw-away", upload.throw_away, name="throw-away"),
]
navigation.register(
    group="project", label=_("Images"), url_name="images:list", icon="image", order=20, rule=lambda ctx: policy.allows(ctx, "get_images")
)
navigation.register(group="admin", label=_("All images"), url_name="images:all", icon="archive", order=20, rule=lambda ctx: ctx.is_admin)
