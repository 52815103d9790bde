"""Makes apns2 and the HTTP packages that it pulls in importable: import this before any of them.

apns2 imports hyper 0.7, and hyper holds h2, hpack and hyperframe at versions that still take the
abstract base classes from `collections`, where Python 3.10 removed them. Twisted, and so Daphne,
imports that h2 as well: without this, every command of a process with Daphne installed fails at
start. `notifyhub/__init__.py` imports it first for that reason. hyper never carries a request;
of apns2 only payloads and credentials are used.
"""

import collections
import collections.abc

for _name in ("Iterable", "Mapping", "MutableMapping", "MutableSet", "Sequence"):
    if not hasattr(collections, _name):
        setattr(collections, _name, getattr(collections.abc, _name))
