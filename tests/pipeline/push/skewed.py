"""A web process whose clock is wrong by so many seconds: `python -m tests.pipeline.push.skewed 1.5`."""

import sys
import time

_real = time.time
_wrong = float(sys.argv[1])
time.time = lambda: _real() + _wrong

from notifyhub import web  # noqa: E402  (what it imports must find the wrong clock)

web.main()
