"""The pages of the staff who work in applications."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextInputWidget

from devices import staff
from devices.admin import second_factor
from devices.confirmation import RefusedError, confirmed
from devices.models import Membership, Power, SecondFactor
from devices.scoped_admin import Empty, ScopedAdmin
from devices.scoped_form import ScopedForm


class MembershipForm(ScopedForm):
    """A member is named by their user name: a list to choose from would show other applications' staff."""

    username = forms.CharField(
        label=_("User name"),
        max_length=150,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("Of a staff account that exists; an administrator of the hub makes accounts."),
    )

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"].strip()
        user = get_user_model().objects.filter(username=name, is_active=True, is_staff=True).first()
        if user is None:
            raise ValidationError(
                gettext("There is no active staff account “%(name)s”; ask an administrator to make one.")
                % {"name": name}
            )
        self.instance.user = user
        return name

    def _get_validation_exclusions(self) -> set[str]:
        # the user comes from the name, and "one membership per application" must see it
        return (
            super()._get_validation_exclusions() - {"user"} if "username" in self.cleaned_data else {"user"}
        )


@admin.register(Membership)
class MembershipAdmin(ScopedAdmin):
    """Who works in an application, and as what."""

    empty = Empty(
        _(
            "Members are the people of your staff who work in an application, each in a role: viewer,"
            " marketer, approver, operator or administrator."
        ),
        {"devices.membership": _("Add a member")},
    )
    form = MembershipForm
    changed_with = Power.MANAGE
    list_display = ["user", "application", "role_shown"]
    list_filter = ["application", "role"]
    list_select_related = ["user", "application"]
    search_fields = ["user__username"]
    radio_fields = {"role": admin.VERTICAL}
    actions_detail = ["reset_second_factor"]

    @display(description=_("Role"), ordering="role")
    def role_shown(self, member: Membership) -> str:
        return member.get_role_display()

    def get_urls(self) -> list[URLPattern]:
        page = path(
            "second-factor/", self.admin_site.admin_view(second_factor.page), name="devices_second_factor"
        )
        return [page, *super().get_urls()]

    def has_reset_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.changed_with, obj)

    def offers(self, action: str, obj: Any) -> bool:
        return SecondFactor.objects.filter(user_id=obj.user_id, confirmed=True).exists()

    @action(description=_("Reset the second factor"), permissions=["reset"], icon="phonelink_erase")
    def reset_second_factor(self, request: HttpRequest, object_id: str) -> HttpResponse:
        member: Membership = self.get_object(request, object_id)

        def do() -> str:
            elsewhere = Membership.objects.filter(user_id=member.user_id).exclude(
                application_id__in=staff.enters(request, Power.MANAGE)
            )
            if (member.user.is_superuser and not request.user.is_superuser) or elsewhere.exists():
                raise RefusedError(
                    gettext("They work where you are no administrator: ask whoever runs the hub to reset it.")
                )
            SecondFactor.objects.filter(user_id=member.user_id).delete()
            return gettext("The second factor of %(name)s is reset.") % {"name": member.user.get_username()}

        return confirmed(
            self,
            request,
            member,
            question=gettext("Reset the second factor of %(name)s?") % {"name": member.user.get_username()},
            facts=[gettext("Make sure that it is they who ask. They set up a new one at their next launch.")],
            button=gettext("Reset it"),
            do=do,
            danger=True,
        )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["application", "username" if obj is None else "user", "role"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*super().get_readonly_fields(request, obj), *(["user"] if obj else []))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            kwargs["form"] = ScopedForm
        return super().get_form(request, obj, change=change, **kwargs)
