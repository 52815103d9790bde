"""What the engine decided about an event, and why: every reason code once, with a sentence for people.

What stands beside a reason is a remark (`delivery.remarks`): stored in English, said in the reader's language.
"""

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from devices.words import number

FORWARDED = "forwarded"
NO_RULE = "no_rule"
CONDITION_FALSE = "condition_false"
CONDITION_ERROR = "condition_error"
TOO_OLD = "too_old"
UNKNOWN_SUBSCRIBER = "unknown_subscriber"
NO_RECIPIENTS = "no_recipients"
TOO_MANY_RECIPIENTS = "too_many_recipients"
CAMPAIGN_NOT_LIVE = "campaign_not_live"
BEYOND_SENDER = "beyond_sender"
RUN_CANCELLED = "run_cancelled"
DELAYED = "delayed"
HAPPENED_MEANWHILE = "happened_meanwhile"
ENTERED_LATELY = "entered_lately"
ERROR = "error"

RECIPIENTS_LIMIT = 1_000
"""Subscribers that one event may reach through one rule by their ids."""

SENTENCES = {
    FORWARDED: _("The rule forwarded the event to its campaign."),
    NO_RULE: _("No enabled rule is for events of this type."),
    CONDITION_FALSE: _("The rule's condition is false for this event."),
    CONDITION_ERROR: _("An expression of the rule has no usable value for this event."),
    TOO_OLD: _("The event was older than the rule allows."),
    UNKNOWN_SUBSCRIBER: _("None of those the event is for is a subscriber of this application."),
    NO_RECIPIENTS: _("The event names nobody it is for."),
    TOO_MANY_RECIPIENTS: _("The rule's expression lists more than %(limit)s subscribers."),
    CAMPAIGN_NOT_LIVE: _("The rule's campaign is neither approved nor live."),
    BEYOND_SENDER: _(
        "A client sent the event, and the rule may not reach others than that client's subscriber."
    ),
    RUN_CANCELLED: _("Today's run of this rule was stopped by hand."),
    DELAYED: _("The rule waits before it tells anybody."),
    HAPPENED_MEANWHILE: _("While the rule waited, the event came that ends the waiting: nobody was told."),
    ENTERED_LATELY: _(
        "The rule tells each person once in so many days, and has told or is about to tell this one."
    ),
    ERROR: _("The event could not be decided in as many attempts as there are."),
}

SECONDS_OLD = _("%(age)s s old, %(most)s s are allowed")
NEITHER = _("the condition gives %(value)s, not true or false")
NO_LIST = _("the recipients are %(value)s, not a list of external ids")
SO_MANY = _("%(count)s recipients")
OTHERS_LEFT_OUT = _("%(count)s others left out: a client's event")
NO_SUBSCRIBERS = _("%(count)s of %(answered)s are no subscribers")
UNTIL = _("until %(at)s")
WITHOUT_END = _("claimed %(count)s times without an end")
UNREADABLE = _("the campaign's version %(version)s cannot be read: %(error)s")

REMARKS = (
    SECONDS_OLD,
    NEITHER,
    NO_LIST,
    SO_MANY,
    OTHERS_LEFT_OUT,
    NO_SUBSCRIBERS,
    UNTIL,
    WITHOUT_END,
    UNREADABLE,
)


def sentence(code: str) -> str:
    """Return why the engine decided so; empty for a code that is not known."""
    return gettext(SENTENCES[code]) % {"limit": number(RECIPIENTS_LIMIT)} if code in SENTENCES else ""
