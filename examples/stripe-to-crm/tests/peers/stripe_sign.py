"""Webhooks as Stripe's own library signs and judges them.

Prints one JSON object a line: {"name", "headers", "body" (base64), "event" (its id), "expect"}, where `expect` is
"accepted", "ignored" (well signed, but of a type that no workflow is for) or "refused". Each was shown to the library's own `construct_event` first; if its judgement is not the
expected one, this program ends with an error: then the table below is wrong, not the receiver.

    python stripe_sign.py --secret whsec_... [--events N] [--old-secret whsec_...]

Needs the PyPI package `stripe`. Timestamps are of now: send the lines within a minute.
"""

import argparse
import base64
import json
import sys
import time

from stripe import SignatureVerificationError, Webhook, WebhookSignature

TOLERANCE_SECONDS = 300
# Room for the time between this program and the receiver.
MARGIN_SECONDS = 60


def payment(event_id, **changes):
    intent = {
        "id": f"pi_{event_id}",
        "object": "payment_intent",
        "amount_received": 4200,
        "currency": "gbp",
        "receipt_email": "jane@example.com",
        "shipping": {"name": "Jane Doe", "address": {"country": "GB"}},
        "status": "succeeded",
    }
    intent.update(changes)
    return {
        "id": event_id,
        "object": "event",
        "api_version": "2026-09-30",
        "created": int(time.time()),
        "type": "payment_intent.succeeded",
        "livemode": False,
        "data": {"object": intent},
    }


def text(event):
    """As Stripe sends it: indented, not ASCII-only."""
    return json.dumps(event, indent=2, ensure_ascii=False)


def header(body, secret, timestamp=None):
    return WebhookSignature.generate_signature_header(body, secret, timestamp)


def v1(body, secret, timestamp):
    return header(body, secret, timestamp).split(",v1=")[1]


def accepted(secret, old_secret, now):
    plain = text(payment("evt_plain"))
    yield "plain", plain, header(plain, secret)
    compact = json.dumps(payment("evt_compact"), separators=(",", ":"))
    yield "compact", compact, header(compact, secret)
    unicode = text(payment("evt_unicode", shipping={"name": "Zoë Łukasiewicz 李"}))
    yield "name beyond ASCII", unicode, header(unicode, secret)
    bare = text(payment("evt_no_shipping", shipping=None, receipt_email=None))
    yield "shipping and e-mail are null", bare, header(bare, secret)
    newline = text(payment("evt_newline")) + "\n"
    yield "a newline at the end is part of the body", newline, header(newline, secret)

    rotated = text(payment("evt_rotated"))
    both = f"t={now},v1={v1(rotated, old_secret, now)},v1={v1(rotated, secret, now)}"
    yield "two signatures, the second is ours", rotated, both
    legacy = text(payment("evt_v0"))
    yield "a v0 signature beside it", legacy, f"t={now},v0={'0' * 64},v1={v1(legacy, secret, now)}"
    old = text(payment("evt_almost_stale"))
    yield "almost too old", old, header(old, secret, now - TOLERANCE_SECONDS + MARGIN_SECONDS)
    ahead = text(payment("evt_ahead"))
    yield "the sender's clock is ahead", ahead, header(ahead, secret, now + MARGIN_SECONDS)


def ignored(secret):
    other = text({**payment("evt_other_type"), "type": "charge.refunded"})
    yield "another type of event", other, header(other, secret)


def refused(secret, old_secret, now):
    body = text(payment("evt_refused"))
    yield "tampered body", body.replace("4200", "9900"), header(body, secret)
    yield "a byte more at the end", body + " ", header(body, secret)
    yield "stale", body, header(body, secret, now - TOLERANCE_SECONDS - MARGIN_SECONDS)
    yield "timestamp moved", body, f"t={now},v1={v1(body, secret, now - 2 * TOLERANCE_SECONDS)}"
    yield "wrong secret", body, header(body, old_secret)
    yield "secret without its prefix", body, header(body, secret.removeprefix("whsec_"))
    yield "only a v0 signature", body, f"t={now},v0={v1(body, secret, now)}"
    yield "no timestamp", body, f"v1={v1(body, secret, now)}"
    yield "timestamp is no number", body, f"t=now,v1={v1(body, secret, now)}"
    yield "signature cut off", body, header(body, secret)[:-1]
    yield "empty signature", body, f"t={now},v1="
    yield "empty header", body, ""
    yield "no header", body, None


def is_refused(body, signature, secret):
    try:
        Webhook.construct_event(body.encode(), signature, secret, TOLERANCE_SECONDS)
        return False
    except SignatureVerificationError:
        return True


def emit(name, body, signature, expect, secret):
    if is_refused(body, signature, secret) != (expect == "refused"):
        sys.exit(f"{name}: expected to be {expect}, which is not what the stripe library says")
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "Stripe/1.0"}
    if signature is not None:
        headers["Stripe-Signature"] = signature
    line = {
        "name": name,
        "headers": headers,
        "body": base64.b64encode(body.encode()).decode(),
        "event": json.loads(body)["id"],
        "expect": expect,
    }
    print(json.dumps(line))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--secret", required=True, help="the endpoint's secret, whole: whsec_...")
    arguments.add_argument("--old-secret", default="whsec_of_before_the_rotation")
    arguments.add_argument("--events", type=int, default=0, help="this many more accepted events, all different")
    given = arguments.parse_args()

    now = int(time.time())
    for name, body, signature in accepted(given.secret, given.old_secret, now):
        emit(name, body, signature, "accepted", given.secret)
    for name, body, signature in ignored(given.secret):
        emit(name, body, signature, "ignored", given.secret)
    for name, body, signature in refused(given.secret, given.old_secret, now):
        emit(name, body, signature, "refused", given.secret)
    for number in range(given.events):
        body = text(payment(f"evt_{number:06}", receipt_email=f"customer{number}@example.com"))
        emit(f"event {number}", body, header(body, given.secret), "accepted", given.secret)


if __name__ == "__main__":
    main()
