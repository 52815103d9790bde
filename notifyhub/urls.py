"""Every address of the hub."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from devices import preference_pages
from notifyhub import demo_page, health, media, metrics, refusals, viewer

handler400 = "notifyhub.refusals.bad_request"
handler403 = "notifyhub.refusals.not_allowed"
handler404 = "notifyhub.refusals.not_found"
handler500 = "notifyhub.refusals.failed"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/language/", viewer.choose_language, name="choose-language"),
    path("admin/", admin.site.urls),
    path("media/pictures/<str:name>", media.picture, name="picture"),
    path("api/v1/", include("notifyhub.api")),
    path("ws/v1/", refusals.plain_http),
    path("preferences/<str:token>/", preference_pages.page, name="preferences"),
    path("preferences/<str:token>/opt-out/", preference_pages.opt_out, name="preferences-opt-out"),
    path("-/health/live", health.live, name="health-live"),
    path("-/health/ready", health.ready, name="health-ready"),
    path("metrics", metrics.metrics, name="metrics"),
    path("demo/<str:external_id>/", demo_page.find, name="demo-find"),
    path("demo/<str:external_id>/<str:key>/", demo_page.page, name="demo-page"),
    path("demo/<str:external_id>/<str:key>/token", demo_page.token, name="demo-token"),
]
