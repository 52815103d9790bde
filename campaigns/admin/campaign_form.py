"""The composer's form: fields that marketers understand, every problem beside the field it is in."""

from typing import Any, ClassVar

from django import forms
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from campaigns import composing, editing, launching, pictures, triggering
from campaigns.admin.composer_fields import ButtonsField, LocalesField, OptionsField, PairsField, RowsField
from campaigns.admin.repeat_field import RepeatField
from campaigns.composing import TEXTS, WITH_OPTIONS, options_field, override_field
from campaigns.content import PLATFORMS, TEXT_LIMITS
from campaigns.models import Campaign
from campaigns.models.limits import LONGEST_DELAY, LONGEST_TTL
from campaigns.policy import FIELDS as POLICY_FIELDS
from delivery import rendering
from delivery.snapshot import AUTO_BADGE
from devices.scoped_form import ScopedForm

LABELS = {
    "title": _("Title"),
    "subtitle": _("Subtitle"),
    "body": _("Body"),
    "image": _("Image"),
    "link": _("Link"),
    "sound": _("Sound"),
    "badge": _("Badge"),
    "data": _("Data"),
    "buttons": _("Buttons"),
}


def _text(label: Any, help_text: Any = "", *, limit: int = 200, hint: str = "") -> forms.CharField:
    attrs = {"placeholder": hint, "dir": "auto"} if hint else {"dir": "auto"}
    return forms.CharField(
        label=label,
        required=False,
        max_length=limit,
        strip=False,
        help_text=help_text,
        widget=UnfoldAdminTextInputWidget(attrs=attrs),
    )


def _choice(label: Any, help_text: Any, choices: list[tuple[str, Any]]) -> forms.ChoiceField:
    return forms.ChoiceField(
        label=label, required=False, help_text=help_text, choices=choices, widget=UnfoldAdminSelectWidget()
    )


def _override(platform: str, text: str) -> forms.CharField:
    widget = UnfoldAdminTextareaWidget(attrs={"rows": 2, "dir": "auto"}) if text == "body" else None
    field = _text(LABELS[text], limit=TEXT_LIMITS[text])
    if widget is not None:
        field.widget = widget
        field.widget.is_required = False
    field.widget.attrs["data-over"] = text
    return field


class BadgeField(forms.CharField):
    """A number, or `AUTO_BADGE`; whether it is one the content's own check says."""

    def __init__(self, help_text: Any, **attrs: str) -> None:
        widget = UnfoldAdminTextInputWidget(attrs=attrs)
        super().__init__(
            label=LABELS["badge"], required=False, max_length=5, widget=widget, help_text=help_text
        )

    def clean(self, value: Any) -> str:
        return str(super().clean(value)).strip().lower()


def _of_platform() -> dict[str, forms.Field]:
    """Return the fields for what is said otherwise on each platform, and for the options that only it knows."""
    fields: dict[str, forms.Field] = {}
    for platform in PLATFORMS:
        for text in TEXTS:
            fields[override_field(platform, text)] = _override(platform, text)
        fields[override_field(platform, "badge")] = BadgeField(
            _("A number, or auto. 0 takes it away."), **{"data-over": "badge"}
        )
        fields[override_field(platform, "data")] = PairsField(
            label=LABELS["data"],
            help_text=_("Added to the data above; a key that stands there too says this here."),
            empty=_("No data of its own: the app is told the data above."),
        )
    fields[override_field("web", "buttons")] = ButtonsField(
        label=LABELS["buttons"],
        help_text=_("Drawn in place of the buttons above."),
        empty=_("No buttons of its own: those above are drawn."),
    )
    for platform in WITH_OPTIONS:
        fields[options_field(platform)] = OptionsField(
            platform,
            label=_("More options"),
            help_text=_("For developers: options in the provider's own words, by their names in the API."),
        )
    return fields


NUMBERS = (*POLICY_FIELDS, "event_once_days")
"""Fields that may be left empty: they are what they are without."""


class DelayField(forms.CharField):
    """A time as people write it (`2 hours`), as seconds."""

    widget = UnfoldAdminTextInputWidget

    def __init__(self, *, longest: int = LONGEST_DELAY, **options: Any) -> None:
        super().__init__(max_length=60, **options)
        self.longest = longest

    def prepare_value(self, value: Any) -> Any:
        return triggering.span(value) if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            seconds = triggering.seconds_of(text)
        except ValueError:
            raise forms.ValidationError(
                _("“%(text)s” is no time; write one as 30 minutes, 2 hours or 1 day.") % {"text": text}
            ) from None
        if self.required and not seconds:
            raise forms.ValidationError(_("At least a second."))
        if seconds > self.longest:
            raise forms.ValidationError(_("At most %(days)s days.") % {"days": self.longest // 86_400})
        return seconds

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(super().has_changed(self.prepare_value(initial) or "", data or ""))


class CampaignForm(ScopedForm):
    """What a campaign says; its texts are rendered once before they are stored.

    `public_url` is where devices reach this hub, empty where only http:// leads to it. One that never `saves`, as for a
    preview, does not ask whether somebody else edits too.
    """

    public_url: ClassVar[str] = ""
    saves: ClassVar[bool] = True

    picture = forms.FileField(
        label=_("Or upload a picture"),
        required=False,
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": "image/jpeg,image/png,image/webp,image/gif"}),
        help_text=_(
            "JPEG, PNG, WebP or GIF up to 10 MB. It is made smaller, and kept under an address nobody can guess."
        ),
    )
    badge = BadgeField(
        _(
            "The number on the app's icon. auto: how much the person has not read, with this one. 0 takes it away,"
            " empty leaves it as it is."
        ),
        placeholder=AUTO_BADGE,
    )
    buttons = ButtonsField(
        label=LABELS["buttons"],
        empty=_("No buttons: a tap opens the link."),
        help_text=_(
            "Browsers draw them (most show two). Apple's devices show the buttons that your app registered for a"
            " category: name it under iOS. Android draws none by itself."
        ),
    )
    locals()["data"] = PairsField(  # by this name a form knows what was posted, too
        label=LABELS["data"],
        help_text=_("For the app itself: people do not see it. Texts may hold variables."),
        empty=_("No data: the app is told the texts and the link only."),
    )
    locales = LocalesField(
        label=_("Other languages"),
        help_text=_(
            "What is left empty is read in the application's language. A person with pt-BR reads pt-BR, else pt."
        ),
    )
    android_channel_id = _text(
        _("Android channel"),
        _("As your app made it; it decides about sound and importance."),
        limit=1_000,
        hint="news",
    )
    android_priority = _choice(
        _("Wakes the device"),
        _("As the lane says, unless you choose."),
        [("", _("As the lane says")), ("NORMAL", _("When it is awake")), ("HIGH", _("At once"))],
    )
    android_color = _text(_("Colour"), _("Of the small icon."), limit=7, hint="#1a2b3c")
    ios_interruption_level = _choice(
        _("Interruption"),
        _("What it may break through on Apple's devices."),
        [
            ("", _("Ordinary")),
            ("passive", _("Passive: no sound, no light")),
            ("active", _("Active")),
            ("time-sensitive", _("Time-sensitive: breaks through a Focus")),
            ("critical", _("Critical: needs Apple's permission")),
        ],
    )
    ios_thread_id = _text(
        _("Group"), _("Notifications of one group are stacked."), limit=1_000, hint="offers"
    )
    ios_category = _text(
        _("Button category"), _("Registered by your app; its buttons are shown."), limit=1_000, hint="OFFER"
    )
    web_icon = _text(_("Icon"), _("Beside the text in browsers."), limit=500, hint="https://")
    web_require_interaction = forms.BooleanField(
        label=_("Stays until it is closed"), required=False, widget=UnfoldBooleanSwitchWidget()
    )
    repeat = RepeatField(label=_("Repeats"))
    ttl = DelayField(
        label=_("Time to live"),
        help_text=_("How long it is worth telling, as 2 hours or 1 day; who was not told by then is not."),
        longest=LONGEST_TTL,
        initial=Campaign().ttl,
    )
    event_delay = DelayField(
        label=_("Delay"), required=False, help_text=_("So long after the event, as 2 hours; empty: at once.")
    )
    base_revision = forms.CharField(required=False, widget=forms.HiddenInput())

    locals().update(_of_platform())

    class Meta:
        model = Campaign
        fields: list[str] = []
        widgets = {
            "title": UnfoldAdminTextInputWidget(attrs={"dir": "auto"}),
            "event_condition": UnfoldAdminTextareaWidget(attrs={"rows": 2, "spellcheck": "false"}),
            "subtitle": UnfoldAdminTextInputWidget(attrs={"dir": "auto"}),
            "body": UnfoldAdminTextareaWidget(attrs={"rows": 3, "dir": "auto"}),
        }
        labels = {
            **LABELS,
            "event_type": _("Event"),
            "event_condition": _("Condition"),
            "event_unless": _("Unless this happens meanwhile"),
            "event_once_days": _("Once in so many days"),
            "best_hour": _("Best hour of each person"),
            "best_from": _("From"),
            "best_until": _("Until"),
            "window_start": _("Not before"),
            "window_end": _("Not after"),
        }
        help_texts = {
            "name": _("For you and your colleagues; nobody else sees it."),
            "title": _("One line is best: phones cut after about 40 characters."),
            "subtitle": _("A second line, on Apple's devices."),
            "body": "",
            "link": _("What a tap opens: https:// or the app's own scheme, as shop://offers."),
            "image": _("Address of a picture, beginning with https://."),
            "sound": _("A sound of the app's, or “default”; empty: silent on Apple's devices."),
            "segment": _("Who it is for."),
            "category": _("People who switched it off are left out."),
            "send_at": _(
                "By your own clock, whose zone is named below. A launch waits for it; empty: a launch starts at once."
            ),
            "event_type": _("Whom an event of this type is about is told, from the launch until you end it."),
            "event_condition": _("CEL over the event, as event.data.total > 100; empty: every event."),
            "event_unless": _("Who has this event before the delay is over is not told."),
            "event_once_days": _("Each person at most once in so many days; 0: at every event."),
            "best_hour": _(
                "Each person is told at the hour at which they open most, on their own clock. Here: the hour (0 to"
                " 23) for people of whom nothing is known, while the application's opens say nothing either. Empty:"
                " not so."
            ),
            "best_from": _("With a best hour: not before this hour of their day."),
            "best_until": _("With a best hour: not from this hour on; 24 is midnight."),
            "window_start": _(
                "A window of the day, by the application's clock: nobody is told before this time, as 18:00. A launch"
                " while it is shut waits until it opens."
            ),
            "window_end": _(
                "Nobody is told from this time on, as 20:00; who is left is told in the next day's window."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        instance = kwargs.get("instance")
        if instance is not None:
            opened = composing.opened(instance)
            opened["base_revision"] = editing.base_of(instance)
            opened["repeat"] = instance
            kwargs["initial"] = {**opened, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if instance is not None and isinstance(field, RowsField):
                field.before = self.initial.get(name) or field.before
        for name in NUMBERS:
            if name in self.fields:
                self.fields[name].required = False  # left empty it is what it is without a policy
        self._picture: pictures.Picture | None = None

    def clean_picture(self) -> Any:
        upload = self.cleaned_data.get("picture")
        if not upload:
            return None
        if not self.public_url:
            raise forms.ValidationError(
                _(
                    "Phones fetch pictures over https:// only, which does not lead to this hub. Ask whoever runs it to"
                    " set NOTIFYHUB_PUBLIC_URL, or give the address of a picture that is elsewhere."
                )
            )
        try:
            self._picture = pictures.checked(upload, size=upload.size)
        except pictures.PictureError as error:
            raise forms.ValidationError(str(error)) from None
        return upload

    @property
    def without_field(self) -> dict[str, list[str]]:
        """What the campaign holds that the page does not show, as paths of the API, by platform or `locales`."""
        return composing.without_field(self.instance)

    def clean(self) -> dict[str, Any]:
        cleaned, without = super().clean(), Campaign()
        for name in NUMBERS:
            if name in self.fields and cleaned.get(name) in (None, ""):
                cleaned[name] = getattr(without, name)
        if cleaned.get("body"):
            cleaned["body"] = composing.lines(cleaned["body"])
        for name, value in composing.closed(self._posted(cleaned), self.instance).items():
            setattr(self.instance, name, value)
        if self._picture is not None:
            cleaned["image"] = self.public_url + self._picture.path
        if (repeat := cleaned.get("repeat")) is not None and not isinstance(repeat, str):
            cleaned.update(repeat)
            for name, value in repeat.items():
                setattr(self.instance, name, value)
        self._check_times(cleaned)
        self._check_edit(cleaned)
        return cleaned

    def _posted(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        """Return the values of the fields that the page had; what it did not show is no empty value."""
        return {
            name: value
            for name, value in cleaned.items()
            if name in self.fields
            and not self.fields[name].widget.value_omitted_from_data(
                self.data, self.files, self.add_prefix(name)
            )
        }

    def _check_times(self, cleaned: dict[str, Any]) -> None:
        until, begins = cleaned.get("repeat_until"), cleaned.get("send_at") or timezone.now()
        if until is not None and until <= begins and "repeat" in self.fields:
            self.add_error("repeat", _("It ends before it begins: choose a later end, or an earlier start."))

    def _check_edit(self, cleaned: dict[str, Any]) -> None:
        """Refuse an edit of what somebody else changed meanwhile, and say who and what."""
        if self.instance.pk is None or not cleaned.get("base_revision") or not self.saves:
            return
        conflict = editing.conflict(self.instance.pk, cleaned["base_revision"])
        if conflict is None:
            return
        self.add_error(None, conflict.sentence)
        # what is saved next was written by somebody who has read this
        posted: Any = self.data
        self.data = posted = posted.copy()
        posted[self.add_prefix("base_revision")] = conflict.base

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # private; the instance is not built before it
        if self.errors or self.instance.application_id is None:
            return
        for field, said, place in self.content_problems():
            self._say_at(field, said, place)

    def content_problems(self) -> list[tuple[str, str, str]]:
        """Return what is wrong with the texts: the field, a sentence, and the place within the field."""
        locale = self.instance.application.locale
        try:
            snapshot = launching.snapshot_of(self.instance)
        except launching.LaunchError as error:
            field, place = composing.field_of(error.field, locale=locale)
            return [(field, without_place(error), place)]
        found = []
        for problem in rendering.check(snapshot):
            field, place = composing.field_of(problem.field, locale=locale)
            line = (
                gettext("Line %(line)s: ") % {"line": problem.line}
                if not place
                else gettext("%(place)s, line %(line)s: ")
                % {"place": place.replace(".", ", "), "line": problem.line}
            )
            found.append((field, f"{line}{problem.reason}", place))
        return found

    def input_of(self, field: str, place: str) -> str:
        """Return the name of the input in which a `place` of a field was written."""
        found = self.fields.get(field)
        if place and isinstance(found, RowsField):
            rows = found.widget.value_from_datadict(self.data if self.is_bound else {}, None, field)
            if within := found.place_of(rows, place):
                return f"{field}-{within}"
        return field

    def _say_at(self, field: str, said: str, place: str) -> None:
        at = self.input_of(field, place)
        if at != field:
            self.fields[field].widget.problems.setdefault(at, []).append(said)
        if field in self.fields:
            self.add_error(field, said)
        else:  # it is in what the page does not show
            self.add_error(None, f"{field}.{place}: {said}" if place else f"{field}: {said}")

    def save_picture(self) -> None:
        """Keep the picture that was uploaded with a form that is valid."""
        if self._picture is not None:
            pictures.keep(self._picture)


def without_place(error: launching.LaunchError) -> str:
    """Return what is wrong without the place before it, which the field says by itself."""
    return error.reason.removeprefix(f"{error.field}: ")
