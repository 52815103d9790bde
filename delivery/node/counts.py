"""What a node has done since its start, for its figures on `/metrics`."""

from collections import Counter

counts: Counter[str] = Counter()
"""`written`: live entries; `given_up`: lines that did not read; `restarted`: works of the node; `caught_up`: devices
whose log was read again because something may have passed by."""
