"""Webhooks as the official libraries of Standard Webhooks and Svix sign and judge them.

    python standard_webhooks.py sign
        Prints one JSON object a line: {"name", "secrets", "headers", "body" (base64), "now", "expect",
        "libraries"}. `expect` is what a receiver with those secrets should say at `now`, "accepted" or "refused";
        `libraries` is what both libraries say. The two differ only where `differs` below says why. If a library says
        otherwise, this program ends with an error: then the table below is wrong, not the receiver.

    python standard_webhooks.py judge
        Reads such objects (without "expect" and "libraries"), and prints for each {"name", "standardwebhooks",
        "svix"}: what each library says, now.

Needs the PyPI packages `standardwebhooks` and `svix`. Timestamps are of now: use the lines within a minute.
"""

import base64
import hashlib
import hmac
import json
import sys
import time
from datetime import datetime, timezone

import standardwebhooks.webhooks
import svix.webhooks

TOLERANCE_SECONDS = 300
# Room for the time between this program and the receiver.
MARGIN_SECONDS = 60

NOW = int(time.time())
SECRET = "whsec_" + base64.b64encode(b"the key of these tests, 32 bytes").decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"the key before, 24 bytes").decode()
STRANGE_SECRET = "whsec_" + base64.b64encode(b"the key of somebody else").decode()
ZEROS = "v1," + base64.b64encode(bytes(32)).decode()
BODY = b'{"type":"contact.created","data":{"name":"Zo\xc3\xab"}}\r\n'
ID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"

PLAIN = ("webhook-id", "webhook-timestamp", "webhook-signature")
SVIX = ("svix-id", "svix-timestamp", "svix-signature")


def by_standardwebhooks(secret, body=BODY, id=ID, at=NOW):
    moment = datetime.fromtimestamp(at, tz=timezone.utc)
    return standardwebhooks.webhooks.Webhook(secret).sign(id, moment, body.decode())


def by_svix(secret, body=BODY, id=ID, at=NOW):
    moment = datetime.fromtimestamp(at, tz=timezone.utc)
    return svix.webhooks.Webhook(secret).sign(id, moment, body.decode())


def by_hand(key, content):
    """For what the libraries cannot be made to sign."""
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def key_of(secret):
    return base64.b64decode(secret.removeprefix("whsec_"))


def headers(signature, id=ID, at=NOW, names=PLAIN):
    values = (id, None if at is None else str(at), signature)
    return {name: value for name, value in zip(names, values) if value is not None}


def judges(secret):
    first = standardwebhooks.webhooks.Webhook(secret)
    second = svix.webhooks.Webhook(secret)
    return {
        "standardwebhooks": lambda body, headers: first.verify(body, headers, json_parse=False),
        "svix": lambda body, headers: second.verify(body, headers),
    }


def verdicts(secrets, headers, body):
    """What each library says, told one secret after the other. Any exception is a refusal."""
    said = {"standardwebhooks": "refused", "svix": "refused"}
    for secret in secrets:
        try:
            named = judges(secret)
        except Exception:
            continue
        for library, verify in named.items():
            try:
                verify(body, headers)
                said[library] = "accepted"
            except Exception:
                pass
    return said


def accepted():
    for library, sign in (("standardwebhooks", by_standardwebhooks), ("svix", by_svix)):
        yield f"signed by {library}", [SECRET], headers(sign(SECRET)), BODY
        empty = sign(SECRET, body=b"")
        yield f"no body, by {library}", [SECRET], headers(empty), b""
        big = b'{"many":"' + b"x" * 100_000 + b'"}'
        yield f"a big body, by {library}", [SECRET], headers(sign(SECRET, body=big)), big
        old = NOW - TOLERANCE_SECONDS + MARGIN_SECONDS
        yield f"almost too old, by {library}", [SECRET], headers(sign(SECRET, at=old), at=old), BODY
        new = NOW + TOLERANCE_SECONDS - MARGIN_SECONDS
        yield f"almost too new, by {library}", [SECRET], headers(sign(SECRET, at=new), at=new), BODY
        bare = SECRET.removeprefix("whsec_")
        yield f"secret without its prefix, by {library}", [bare], headers(sign(bare)), BODY
        yield f"secret without padding, by {library}", [SECRET.rstrip("=")], headers(sign(SECRET)), BODY

        both = f"{sign(OLD_SECRET)} {sign(SECRET)}"
        yield f"two signatures, the second is ours, by {library}", [SECRET], headers(both), BODY
        yield f"two signatures, the first is ours, by {library}", [OLD_SECRET], headers(both), BODY
        yield f"two secrets, the second fits, by {library}", [SECRET, OLD_SECRET], headers(sign(OLD_SECRET)), BODY
        yield f"two secrets, two signatures, by {library}", [SECRET, OLD_SECRET], headers(both), BODY
        others = f"v1a,{'A' * 86}== v2,x {sign(SECRET)}"
        yield f"signatures of other versions beside it, by {library}", [SECRET], headers(others), BODY
        strangers = f"{ZEROS} {sign(STRANGE_SECRET)} {sign(SECRET)} {ZEROS}"
        yield f"signatures of strangers around it, by {library}", [SECRET], headers(strangers), BODY


def refused():
    good = by_standardwebhooks(SECRET)
    yield "tampered body", [SECRET], headers(good), BODY.replace(b"created", b"deleted")
    yield "a byte more at the end", [SECRET], headers(good), BODY + b" "
    yield "a byte less at the end", [SECRET], headers(good), BODY[:-1]
    yield "tampered id", [SECRET], headers(good, id=ID + "x"), BODY
    yield "timestamp moved", [SECRET], headers(good, at=NOW + 1), BODY
    old = NOW - TOLERANCE_SECONDS - MARGIN_SECONDS
    yield "stale", [SECRET], headers(by_standardwebhooks(SECRET, at=old), at=old), BODY
    yield "stale, and the timestamp moved to now", [SECRET], headers(by_svix(SECRET, at=old)), BODY
    new = NOW + TOLERANCE_SECONDS + MARGIN_SECONDS
    yield "of the future", [SECRET], headers(by_svix(SECRET, at=new), at=new), BODY
    yield "wrong secret", [SECRET], headers(by_svix(STRANGE_SECRET)), BODY
    yield "two secrets, neither fits", [SECRET, OLD_SECRET], headers(by_svix(STRANGE_SECRET)), BODY
    out = f"{by_svix(OLD_SECRET)} {by_svix(STRANGE_SECRET)}"
    yield "two signatures, neither is ours", [SECRET], headers(out), BODY
    yield "the secret's text as the key", [SECRET], headers(by_svix(SECRET.encode())), BODY
    yield "right, and of another version", [SECRET], headers(good.replace("v1,", "v1a,")), BODY
    yield "right, and of no version", [SECRET], headers(good.removeprefix("v1,")), BODY
    yield "right, and of version V1", [SECRET], headers(good.replace("v1,", "V1,")), BODY
    yield "signature cut off", [SECRET], headers(good[:-4]), BODY
    yield "empty signature", [SECRET], headers("v1,"), BODY
    yield "empty header", [SECRET], headers(""), BODY
    yield "signature in hex", [SECRET], headers("v1," + base64.b64decode(good[3:]).hex()), BODY
    yield "no id", [SECRET], headers(good, id=None), BODY
    yield "empty id", [SECRET], headers(good, id=""), BODY
    yield "no timestamp", [SECRET], headers(good, at=None), BODY
    yield "empty timestamp", [SECRET], headers(good, at=""), BODY
    yield "timestamp is no number", [SECRET], headers(good, at="now"), BODY
    yield "timestamp in milliseconds", [SECRET], headers(good, at=NOW * 1000), BODY
    yield "no signature", [SECRET], headers(None), BODY
    yield "no headers", [SECRET], {}, BODY


def differs():
    """Where this project and the libraries do not agree: (name, why, secrets, headers, body, what we say)."""
    dotted = f"a.{NOW}.b"
    yield (
        "id with full stops",
        "the specification forbids them to senders: what was signed could be read in two ways",
        [SECRET],
        headers(by_svix(SECRET, id=dotted), id=dotted),
        BODY,
        "refused",
    )
    yield (
        "id with a space",
        "ids are shown to people, and are keys",
        [SECRET],
        headers(by_svix(SECRET, id="a b"), id="a b"),
        BODY,
        "refused",
    )
    yield (
        "timestamp with a fraction",
        "the libraries sign the whole seconds of what the header says; here the header's own text is what is signed",
        [SECRET],
        headers(by_svix(SECRET), at=f"{NOW}.5"),
        BODY,
        "refused",
    )
    yield (
        "timestamp with a leading zero",
        "as above",
        [SECRET],
        headers(by_svix(SECRET), at=f"0{NOW}"),
        BODY,
        "refused",
    )
    binary = b"\xff\xfe\x00 not UTF-8"
    yield (
        "body is not UTF-8",
        "the libraries decode the body to text first; what is signed is bytes",
        [SECRET],
        headers(by_hand(key_of(SECRET), f"{ID}.{NOW}.".encode() + binary)),
        binary,
        "accepted",
    )
    yield (
        "an item without a comma before the right one",
        "the libraries end with an exception of Python's; one item must not spoil its neighbours",
        [SECRET],
        headers("nonsense " + by_svix(SECRET)),
        BODY,
        "accepted",
    )
    yield (
        "an item that is not base64 before the right one",
        "as above",
        [SECRET],
        headers("v1,A " + by_svix(SECRET)),
        BODY,
        "accepted",
    )
    yield (
        "characters in the signature that base64 does not have",
        "Python's decoder skips them",
        [SECRET],
        headers(by_svix(SECRET).replace("v1,", "v1,*")),
        BODY,
        "refused",
    )
    short = "whsec_" + base64.b64encode(b"15 bytes, short").decode()
    yield (
        "a secret of 15 bytes",
        "the specification asks for at least 24",
        [short],
        headers(by_svix(short)),
        BODY,
        "refused",
    )
    crooked = "whsec_*" + SECRET.removeprefix("whsec_")
    yield (
        "a secret with characters that base64 does not have",
        "Python's decoder skips them; a secret that was copied wrongly should be noticed",
        [crooked],
        headers(by_svix(SECRET)),
        BODY,
        "refused",
    )


def emit(name, secrets, headers, body, expect, libraries):
    said = verdicts(secrets, headers, body)
    # standardwebhooks does not know Svix's names for the headers.
    judging = ["svix"] if "svix-signature" in headers else ["standardwebhooks", "svix"]
    for library in judging:
        if said[library] != libraries:
            sys.exit(f"{name}: expected to be {libraries}, but {library} says {said[library]}")
    line = {
        "name": name,
        "secrets": secrets,
        "headers": headers,
        "body": base64.b64encode(body).decode(),
        "now": NOW,
        "expect": expect,
        "libraries": libraries,
    }
    print(json.dumps(line))


def emit_under_both_names(name, secrets, headers, body, expect, libraries):
    emit(name, secrets, headers, body, expect, libraries)
    renamed = {name.replace("webhook-", "svix-"): value for name, value in headers.items()}
    if renamed:
        emit(f"{name}, svix-*", secrets, renamed, body, expect, libraries)


def mixed():
    """Svix's library takes each header under either name, and prefers its own."""
    good = by_svix(SECRET)
    some = {**headers(good, names=SVIX), **headers(None, id=None)}
    some["webhook-id"] = some.pop("svix-id")
    yield "an id by one name, the rest by the other", some, "refused", "accepted"
    strange = headers(by_svix(STRANGE_SECRET), names=SVIX)
    yield "genuine by webhook-*, a stranger's by svix-*", {**headers(good), **strange}, "accepted", "refused"
    strange = headers(by_svix(STRANGE_SECRET))
    yield "a stranger's by webhook-*, genuine by svix-*", {**headers(good, names=SVIX), **strange}, "refused", "accepted"
    same = {**headers(good, names=SVIX), **headers(good)}
    yield "the same by both names", same, "accepted", "accepted"


def sign():
    for name, secrets, named, body in accepted():
        emit_under_both_names(name, secrets, named, body, "accepted", "accepted")
    for name, secrets, named, body in refused():
        emit_under_both_names(name, secrets, named, body, "refused", "refused")
    for name, why, secrets, named, body, expect in differs():
        other = "refused" if expect == "accepted" else "accepted"
        emit_under_both_names(f"{name} ({why})", secrets, named, body, expect, other)
    for name, named, expect, svix_says in mixed():
        emit(name, [SECRET], named, BODY, expect, svix_says)


def judge():
    for line in sys.stdin:
        given = json.loads(line)
        said = verdicts(given["secrets"], given["headers"], base64.b64decode(given["body"]))
        print(json.dumps({"name": given["name"], **said}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["sign"]:
            sign()
        case ["judge"]:
            judge()
        case _:
            sys.exit(__doc__)
