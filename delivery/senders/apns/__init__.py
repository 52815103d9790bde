"""The sender of APNs; loading it makes apns2 importable."""

from delivery.senders import apns2_import  # noqa: F401
