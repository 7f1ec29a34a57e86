"""Requests as the official libraries of several senders sign and judge them.

    python sdk.py NAME
        NAME is slack, hubspot, twilio, square or paddle. Reads one JSON object a line: {"secret", "url", "headers",
        "type", "body" (base64), "now" (seconds)}. Prints for each {"said": what the library says of it, "accepted" or
        "refused"; "signed": the headers that it makes for that secret, URL, body and time, if it can sign}.

Needs the PyPI package of that sender. The libraries compare times with this machine's clock: use the lines at once.
"""

import base64
import json
import sys
from urllib.parse import parse_qs

METHOD = "POST"


def slack():
    from slack_sdk.signature import SignatureVerifier

    def judge(line, body):
        return SignatureVerifier(line["secret"]).is_valid_request(body, line["headers"])

    def sign(line, body):
        signature = SignatureVerifier(line["secret"]).generate_signature(timestamp=str(line["now"]), body=body)
        return {"x-slack-signature": signature, "x-slack-request-timestamp": str(line["now"])}

    return judge, sign


def hubspot():
    from hubspot.utils.signature import Signature

    def judge(line, body):
        return Signature.is_valid(
            signature=line["headers"]["x-hubspot-signature-v3"],
            client_secret=line["secret"],
            request_body=body.decode(),
            http_uri=line["url"],
            http_method=METHOD,
            signature_version="v3",
            timestamp=line["headers"]["x-hubspot-request-timestamp"],
        )

    def sign(line, body):
        at = str(line["now"] * 1000)
        signature = Signature.get_signature(line["secret"], body.decode(), "v3", line["url"], METHOD, at)
        return {"x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": at}

    return judge, sign


def twilio():
    from twilio.request_validator import RequestValidator, get_signature_algorithm

    class Fields(dict):
        """All values of each name, as Django's QueryDict gives them."""

        def getlist(self, name):
            return self[name]

    def content(line, body):
        if "form" not in line["type"]:
            return body.decode()
        return Fields(parse_qs(body.decode(), keep_blank_values=True, strict_parsing=bool(body)))

    def judge(line, body):
        settings = line["headers"].get("x-twilio-webhooks-signature-settings")
        return RequestValidator(line["secret"]).validate(
            line["url"], content(line, body), line["headers"]["x-twilio-signature"], get_signature_algorithm(settings)
        )

    def sign(line, body):
        validator = RequestValidator(line["secret"])
        if "form" in line["type"]:
            return {"x-twilio-signature": validator.compute_signature(line["url"], content(line, body))}
        if validator.compute_hash(body.decode()) in line["url"]:
            return {"x-twilio-signature": validator.compute_signature(line["url"], {})}
        return None

    return judge, sign


def square():
    from square.utils.webhooks_helper import verify_signature

    def judge(line, body):
        return verify_signature(
            request_body=body.decode(),
            signature_header=line["headers"]["x-square-hmacsha256-signature"],
            signature_key=line["secret"],
            notification_url=line["url"],
        )

    return judge, None


def paddle():
    from paddle_billing.Notifications import PaddleSignature, Secret, Verifier

    clock = sys.modules["paddle_billing.Notifications.Verifier"]

    class Request:
        def __init__(self, headers, body):
            # As frameworks have them: whatever the case.
            self.headers = {"Paddle-Signature": headers.get("paddle-signature")}
            self.body = body

    def judge(line, body):
        # Five seconds are less than a busy machine may take to get here.
        clock.time = lambda: line["now"]
        return Verifier().verify(Request(line["headers"], body), [Secret(line["secret"])])

    def sign(line, body):
        mac = PaddleSignature.calculate_hmac(line["secret"], str(line["now"]).encode() + b":" + body).hexdigest()
        return {"paddle-signature": f"ts={line['now']};h1={mac}"}

    return judge, sign


def main(name):
    judge, sign = {"slack": slack, "hubspot": hubspot, "twilio": twilio, "square": square, "paddle": paddle}[name]()
    for text in sys.stdin:
        line = json.loads(text)
        body = base64.b64decode(line["body"])
        # What makes a library raise is refused as well.
        try:
            said = judge(line, body)
        except Exception:
            said = False
        print(json.dumps({"said": "accepted" if said else "refused", "signed": sign(line, body) if sign else None}))


main(sys.argv[1])
