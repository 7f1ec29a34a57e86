"""Webhooks as senders' own and others' libraries sign and judge them; where no library does, as Python's standard
library does after the example of the sender's documentation.

    python senders.py SENDER sign
        Prints one JSON object a line: {"name", "secrets", "headers", "body" (base64), "now", "expect"}. `expect` is what
        a receiver with those secrets should say at `now`: "accepted" or "refused".

    python senders.py SENDER judge
        Reads such objects (without "expect"), and prints "accepted" or "refused" for each, a line each.

SECRETS in the environment is a JSON array of the two secrets that sign.

A sender's packages are imported only if it is asked for. Timestamps are of now: use the lines within a minute.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import sys
import time
from datetime import datetime, timezone

NOW = int(time.time())
# The end of the line is signed as well; what is not ASCII is written anew in another way.
BODY = '{"id":"evt_1","topic":"ping","data":{"item":{"name":"Zoë"}}}\r\n'.encode()


def mac(secret, content, digest=hashlib.sha256):
    return hmac.new(secret.encode(), content, digest)


def b64(digest):
    return base64.b64encode(digest).decode()


class Sender:
    """Signs as the sender does; judges as a receiver with one secret. Any exception is a refusal."""

    # How old, in seconds, a webhook is that everybody refuses; None where no time is signed.
    stale = None

    def sign(self, secret, body, at):
        raise NotImplementedError

    def accepts(self, secret, headers, body):
        raise NotImplementedError

    def cases(self, secret, other):
        for name, body in (("genuine", BODY), ("big", b'{"topic":"ping","data":{"item":"' + b"x" * 100_000 + b'"}}')):
            yield name, [secret], self.sign(secret, body, NOW), body, "accepted"
        signed = self.sign(secret, BODY, NOW)
        yield "of the old secret", [other, secret], signed, BODY, "accepted"
        yield "of another secret", [other], signed, BODY, "refused"
        yield "another body", [secret], signed, BODY.replace(b"ping", b"pong"), "refused"
        yield "a body without its end", [secret], signed, BODY.rstrip(), "refused"
        yield "a body written anew", [secret], signed, json.dumps(json.loads(BODY)).encode(), "refused"
        for name in signed:
            yield f"without {name}", [secret], {n: v for n, v in signed.items() if n != name}, BODY, "refused"
        if self.stale:
            at = NOW - self.stale
            yield "stale", [secret], self.sign(secret, BODY, at), BODY, "refused"


class GitLab(Sender):
    """The library of Standard Webhooks, with which GitLab's own change was tested."""

    stale = 400

    def sign(self, secret, body, at):
        from standardwebhooks.webhooks import Webhook

        id = "f5e5f430-f57b-4e6e-9fac-d9128cd7232f"
        signature = Webhook(secret).sign(id, datetime.fromtimestamp(at, tz=timezone.utc), body.decode())
        return {"webhook-id": id, "webhook-timestamp": str(at), "webhook-signature": signature}

    def accepts(self, secret, headers, body):
        from standardwebhooks.webhooks import Webhook

        Webhook(secret).verify(body, headers, json_parse=False)
        return True


class Bitbucket(Sender):
    """After the example of Bitbucket's documentation."""

    def sign(self, secret, body, at):
        return {"x-hub-signature": "sha256=" + mac(secret, body).hexdigest()}

    def accepts(self, secret, headers, body):
        return hmac.compare_digest(self.sign(secret, body, NOW)["x-hub-signature"], headers["x-hub-signature"])


class Intercom(Sender):
    """After Intercom's documentation, with Python's standard library."""

    def sign(self, secret, body, at):
        return {"x-hub-signature": "sha1=" + mac(secret, body, hashlib.sha1).hexdigest()}

    def accepts(self, secret, headers, body):
        return hmac.compare_digest(self.sign(secret, body, NOW)["x-hub-signature"], headers["x-hub-signature"])


class Typeform(Sender):
    """After the examples of Typeform's documentation, with Python's standard library."""

    def sign(self, secret, body, at):
        return {"typeform-signature": "sha256=" + b64(mac(secret, body).digest())}

    def accepts(self, secret, headers, body):
        return hmac.compare_digest(self.sign(secret, body, NOW)["typeform-signature"], headers["typeform-signature"])


class Calendly(Sender):
    """After the examples of Calendly's documentation, with Python's standard library."""

    stale = 300

    def sign(self, secret, body, at):
        digest = mac(secret, f"{at}.".encode() + body).hexdigest()
        return {"calendly-webhook-signature": f"t={at},v1={digest}"}

    def accepts(self, secret, headers, body):
        parts = dict(part.split("=", 1) for part in headers["calendly-webhook-signature"].split(","))
        expected = mac(secret, parts["t"].encode() + b"." + body).hexdigest()
        return hmac.compare_digest(expected, parts["v1"]) and int(parts["t"]) >= time.time() - 180


class Zendesk(Sender):
    """After the example of Zendesk's documentation, with Python's standard library."""

    def sign(self, secret, body, at):
        timestamp = datetime.fromtimestamp(at, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        signature = b64(mac(secret, timestamp.encode() + body).digest())
        return {"x-zendesk-webhook-signature": signature, "x-zendesk-webhook-signature-timestamp": timestamp}

    def accepts(self, secret, headers, body):
        timestamp = headers["x-zendesk-webhook-signature-timestamp"]
        expected = b64(mac(secret, timestamp.encode() + body).digest())
        return hmac.compare_digest(expected, headers["x-zendesk-webhook-signature"])


class Xero(Sender):
    """After Xero's documentation, with Python's standard library."""

    def sign(self, secret, body, at):
        return {"x-xero-signature": b64(mac(secret, body).digest())}

    def accepts(self, secret, headers, body):
        return hmac.compare_digest(b64(mac(secret, body).digest()), headers["x-xero-signature"])


class Meta(Sender):
    """pywa, the client of WhatsApp's API, judges; Python's standard library signs."""

    def sign(self, secret, body, at):
        return {"x-hub-signature-256": "sha256=" + mac(secret, body).hexdigest()}

    def accepts(self, secret, headers, body):
        from pywa.utils import webhook_updates_validator

        return webhook_updates_validator(secret, body, headers["x-hub-signature-256"])


class Adyen(Sender):
    """Adyen's own library signs and judges whole bodies."""

    def sign(self, secret, body, at):
        from Adyen.util import generate_payload_sig

        return {"hmacsignature": generate_payload_sig(body, secret).decode()}

    def accepts(self, secret, headers, body):
        from Adyen.util import is_valid_hmac_payload

        return is_valid_hmac_payload(headers["hmacsignature"], secret, body)


class Discord(Sender):
    """Discord's own library judges; PyNaCl, on which it stands, signs. A secret is a seed and its public key, in hex."""

    def sign(self, secret, body, at):
        from nacl.signing import SigningKey

        signature = SigningKey(bytes.fromhex(secret[:64])).sign(str(at).encode() + body).signature
        return {"x-signature-ed25519": signature.hex(), "x-signature-timestamp": str(at)}

    def accepts(self, secret, headers, body):
        from discord_interactions import verify_key

        signature, at = headers["x-signature-ed25519"], headers["x-signature-timestamp"]
        # It prints why it refuses.
        with contextlib.redirect_stdout(sys.stderr):
            return verify_key(body, signature, at, secret[64:])


class SendGrid(Sender):
    """SendGrid's own library judges; cryptography, on which it stands, signs. A secret is PKCS #8 in base64."""

    def key(self, secret):
        from cryptography.hazmat.primitives.serialization import load_der_private_key

        return load_der_private_key(base64.b64decode(secret), None)

    def sign(self, secret, body, at):
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        signature = self.key(secret).sign(str(at).encode() + body, ECDSA(SHA256()))
        prefix = "x-twilio-email-event-webhook-"
        return {prefix + "signature": b64(signature), prefix + "timestamp": str(at)}

    def accepts(self, secret, headers, body):
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        from sendgrid import EventWebhook

        public = self.key(secret).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        prefix = "x-twilio-email-event-webhook-"
        judge = EventWebhook(b64(public))
        return judge.verify_signature(body.decode(), headers[prefix + "signature"], headers[prefix + "timestamp"])


class PayPal(Sender):
    """PayPal's own library says what is signed; cryptography, on which it stands, signs and judges. A secret is the id of a
    webhook and, on the next lines, a key and its certificate.
    """

    url = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77"
    prefix = "paypal-"

    def signed(self, secret, transmission, at, body):
        from paypalrestsdk.notifications import WebhookEvent

        return WebhookEvent._get_expected_sig(transmission, at, secret.split("\n")[0], body.decode()).encode()

    def sign(self, secret, body, at):
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = load_pem_private_key(secret[secret.index("-----") : secret.index("-----BEGIN CERT")].encode(), None)
        transmission = "69cd13f0-d67a-11e5-baa3-778b53f4ae55"
        time = datetime.fromtimestamp(at, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        signature = key.sign(self.signed(secret, transmission, time, body), PKCS1v15(), SHA256())
        names = ["transmission-id", "transmission-time", "transmission-sig", "cert-url", "auth-algo"]
        values = [transmission, time, b64(signature), self.url, "SHA256withRSA"]
        return {self.prefix + name: value for name, value in zip(names, values)}

    def accepts(self, secret, headers, body):
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.x509 import load_pem_x509_certificate

        sent = {name.removeprefix(self.prefix): value for name, value in headers.items()}
        signed = self.signed(secret, sent["transmission-id"], sent["transmission-time"], body)
        key = load_pem_x509_certificate(secret[secret.index("-----BEGIN CERT") :].encode()).public_key()
        key.verify(base64.b64decode(sent["transmission-sig"]), signed, PKCS1v15(), SHA256())
        return sent["cert-url"] == self.url and sent["auth-algo"] == "SHA256withRSA"


class Mailgun(Sender):
    """After the example of Mailgun's documentation, with Python's standard library. The signature is in the body."""

    token = "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0"

    def sign(self, secret, body, at):
        signature = mac(secret, f"{at}{self.token}".encode()).hexdigest()
        block = {"timestamp": str(at), "token": self.token, "signature": signature}
        return {"signature": block, "event-data": json.loads(body)}

    def accepts(self, secret, headers, body):
        block = json.loads(body)["signature"]
        expected = mac(secret, f"{block['timestamp']}{block['token']}".encode()).hexdigest()
        return hmac.compare_digest(expected, block["signature"])

    def cases(self, secret, other):
        sent = self.sign(secret, BODY, NOW)

        def case(name, secrets, body, expect):
            return name, secrets, {}, json.dumps(body).encode(), expect

        def with_block(**changes):
            return {**sent, "signature": {**sent["signature"], **changes}}

        yield case("genuine", [secret], sent, "accepted")
        yield case("of the old secret", [other, secret], sent, "accepted")
        yield case("of another secret", [other], sent, "refused")
        yield case("another token", [secret], with_block(token=self.token[::-1]), "refused")
        yield case("another time", [secret], with_block(timestamp=str(NOW + 1)), "refused")
        yield case("another signature", [secret], with_block(signature="0" * 64), "refused")
        yield case("no signature", [secret], {"event-data": sent["event-data"]}, "refused")
        # It is not signed.
        yield case("another event", [secret], {**sent, "event-data": {}}, "accepted")


SENDERS = {sender.__name__.lower(): sender for sender in Sender.__subclasses__()}


def verdict(sender, case):
    body = base64.b64decode(case["body"])
    for secret in case["secrets"]:
        try:
            if sender.accepts(secret, case["headers"], body):
                return "accepted"
        except Exception:
            pass
    return "refused"


def main(name, mode):
    sender = SENDERS[name]()
    if mode == "sign":
        for case_name, secrets, headers, body, expect in sender.cases(*json.loads(os.environ["SECRETS"])):
            case = {"name": case_name, "secrets": secrets, "headers": headers, "body": b64(body), "now": NOW}
            said = verdict(sender, case)
            assert said == expect, f"{case_name}: the library says {said}"
            print(json.dumps({**case, "expect": expect}))
    else:
        for line in sys.stdin:
            print(verdict(sender, json.loads(line)))


main(*sys.argv[1:])
