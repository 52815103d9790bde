"""The composer's form: every problem of a text stands beside the field it is in."""

from typing import Any

from unfold.widgets import UnfoldAdminTextareaWidget

from campaigns import launching
from campaigns.models import Campaign
from campaigns.policy import FIELDS as POLICY_FIELDS
from delivery import rendering
from devices.scoped_form import ScopedForm


class CampaignForm(ScopedForm):
    """What a campaign says; its texts are rendered once before they are stored."""

    class Meta:
        model = Campaign
        fields: list[str] = []
        widgets = {"body": UnfoldAdminTextareaWidget(attrs={"rows": 3})}
        help_texts = {
            "title": "May hold Liquid, as {{ first_name }} of the person, or {{ event.data.order }} of a rule's event.",
            "link": "What a tap opens: https:// or the app's own scheme.",
            "image": "Address of a picture, beginning with https://.",
            "category": "People who switched it off are left out.",
            "send_at": "In UTC. A launch waits for it; empty: a launch starts at once.",
            "ttl": "Seconds after which it is no longer worth telling; 86400 is a day.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in POLICY_FIELDS:
            if name in self.fields:
                self.fields[name].required = False  # left empty it is what it is without a policy

    def clean(self) -> dict[str, Any]:
        cleaned, without = super().clean(), Campaign()
        for name in POLICY_FIELDS:
            if name in self.fields and cleaned.get(name) in (None, ""):
                cleaned[name] = getattr(without, name)
        return cleaned

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # private; the instance is not built before it
        if self.errors or self.instance.application_id is None:
            return
        try:
            snapshot = launching.snapshot_of(self.instance)
        except launching.LaunchError as error:
            name = error.field.partition(".")[0]
            self.add_error(name if name in self.fields else None, str(error))
            return
        for problem in rendering.check(snapshot):
            said = f"{place_of(problem, snapshot.locale)}{problem.reason}"
            self.add_error(field_of(problem.field, snapshot.locale), said)


def field_of(path: str, locale: str) -> str:
    """Return the form field in which a problem at `path` (as `texts.de.title`) was written."""
    kind, where, name, *_ = path.split(".")
    if kind == "overrides":
        return "overrides"
    return name if where == locale else "locales"


def place_of(problem: rendering.RenderError, locale: str) -> str:
    """Return where in its field a problem is, for people."""
    kind, where, name, *rest = problem.field.split(".")
    inside = ".".join([name, *rest])
    if kind == "texts" and where == locale:
        inside = ".".join(rest)
        return f"{inside}, line {problem.line}: " if inside else f"Line {problem.line}: "
    return f"{where}, {inside}, line {problem.line}: "
