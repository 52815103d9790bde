"""The room that wires the parts together; loading it makes Daphne's HTTP/2 packages importable."""

from delivery.senders import apns2_import  # noqa: F401  (Twisted imports h2 at start; see that module)
