"""The admin pages of delivery: runs, what is stuck, stops, and the providers' credentials and gates."""

from delivery.admin.alerts import AlertRuleAdmin, IncidentAdmin
from delivery.admin.credentials import CredentialAdmin, GateAdmin
from delivery.admin.holds import HoldAdmin
from delivery.admin.runs import RunAdmin
from delivery.admin.stuck import PageAdmin, ParcelAdmin

__all__ = [
    "AlertRuleAdmin",
    "CredentialAdmin",
    "GateAdmin",
    "HoldAdmin",
    "IncidentAdmin",
    "PageAdmin",
    "ParcelAdmin",
    "RunAdmin",
]
