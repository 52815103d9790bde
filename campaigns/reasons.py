"""What the engine decided about an event, and why: every reason code once, with a sentence for people."""

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
    FORWARDED: "The rule forwarded the event to its campaign.",
    NO_RULE: "No enabled rule is for events of this type.",
    CONDITION_FALSE: "The rule's condition is false for this event.",
    CONDITION_ERROR: "An expression of the rule has no usable value for this event.",
    TOO_OLD: "The event was older than the rule allows.",
    UNKNOWN_SUBSCRIBER: "None of those the event is for is a subscriber of this application.",
    NO_RECIPIENTS: "The event names nobody it is for.",
    TOO_MANY_RECIPIENTS: f"The rule's expression lists more than {RECIPIENTS_LIMIT:,} subscribers.",
    CAMPAIGN_NOT_LIVE: "The rule's campaign is neither approved nor live.",
    BEYOND_SENDER: "A client sent the event, and the rule may not reach others than that client's subscriber.",
    RUN_CANCELLED: "Today's run of this rule was stopped by hand.",
    DELAYED: "The rule waits before it tells anybody.",
    HAPPENED_MEANWHILE: "While the rule waited, the event came that ends the waiting: nobody was told.",
    ENTERED_LATELY: "The rule tells each person once in so many days, and has told or is about to tell this one.",
    ERROR: "The event could not be decided in as many attempts as there are.",
}
