"""What campaigns, and rules, may ask for."""

from django.core.exceptions import ValidationError

from campaigns import rules

LONGEST_DELAY = 90 * 86_400
"""Seconds."""
LONGEST_ONCE_DAYS = 365
LONGEST_TTL = 28 * 86_400
"""Seconds; FCM keeps a message four weeks at most (its `android.ttl`)."""


def validate_condition(text: str) -> None:
    """Refuse a CEL expression that does not compile, with its line and reason."""
    try:
        rules.compile_expression(text)
    except rules.RuleError as error:
        raise ValidationError(str(error)) from None
