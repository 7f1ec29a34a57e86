"""Ticks of cron expressions, as cronsim reckons them.

Reads one JSON object a line: {"expression", "zone", "from", "until"} (times in seconds since 1970).
Prints for each the ticks after `from` and not after `until`, as a JSON array of seconds.
"""

import json
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim


def ticks(expression, zone, since, until):
    # A plan of one year of seconds is too many to send: the asker bounds the span.
    for tick in CronSim(expression, datetime.fromtimestamp(since, ZoneInfo(zone))):
        second = int(tick.timestamp())
        if second > until:
            return
        yield second


for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps(list(ticks(asked["expression"], asked["zone"], asked["from"], asked["until"]))), flush=True)
