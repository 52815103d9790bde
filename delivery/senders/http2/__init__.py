"""HTTP/2 for many small requests to few hosts: as much of RFC 9113 and RFC 7541 as a client that only POSTs needs."""

from delivery.senders import apns2_import  # noqa: F401  (hpack is one of the packages it makes importable)
