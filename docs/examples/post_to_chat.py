#!/usr/bin/env python3
"""A hook: posts how a campaign or a trial ended to a chat's webhook, whose address is $CHAT_URL."""

import json
import os
import sys
import urllib.request

context = json.load(sys.stdin)
trial = context["trial"]
what = f"{context['campaign']}, trial {trial['number']}" if trial else context["campaign"]
reason = f": {context['reason']}" if context["reason"] else ""
text = f"{what}: {context['moment']}{reason}"
request = urllib.request.Request(  # noqa: S310 - the address is the user's own
    os.environ["CHAT_URL"],
    json.dumps({"text": text}).encode(),
    {"Content-Type": "application/json"},
)
with urllib.request.urlopen(request, timeout=10):  # noqa: S310
    pass
