"""Jobs per second of Celery, whose worker is already running."""

import sys
import time

from rival import nothing

count = int(sys.argv[1])
nothing.delay().get(timeout=30)
start = time.monotonic()
for result in [nothing.delay() for _ in range(count)]:
    result.get(timeout=60)
print(count / (time.monotonic() - start))
