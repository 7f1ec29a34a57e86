"""CloudEvents as their official SDK sends them: one request a line."""
import base64, json
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent


def told(name, headers, body, expect):
    body = b"" if body is None else body if isinstance(body, bytes) else body.encode()
    line = {"name": name, "headers": headers, "body": base64.b64encode(body).decode(), "expect": expect}
    print(json.dumps(line))


def event(id, data, **attributes):
    return CloudEvent({"id": id, "source": "https://files.example.com/ünï", "type": "com.example.created", **attributes}, data)


data = {"name": "Ada", "note": "café", "n": [1, 2.5, None, True]}
for form, send in [("structured", to_structured), ("binary", to_binary)]:
    headers, body = send(event(f"{form}-json", data))
    told(f"{form} json", headers, body, data)
    # Left to itself, the SDK writes text as JSON in the binary form, whatever its type is.
    as_it_is = {"data_marshaller": lambda text: text} if form == "binary" else {}
    headers, body = send(event(f"{form}-text", "a <b> text", datacontenttype="text/plain"), **as_it_is)
    told(f"{form} text", headers, body, "a <b> text")
    headers, body = send(event(f"{form}-ext", data, subject="a subject with ü and %", traceparent="00-1-2-03"))
    told(f"{form} extensions", headers, body, data)
    headers, body = send(event(f"{form}-none", None))
    told(f"{form} no data", headers, body, None)
headers, body = to_structured(event("structured-bytes", b"\xff\x00\x01", datacontenttype="application/octet-stream"))
told("structured bytes", headers, body, base64.b64encode(b"\xff\x00\x01").decode())
headers, body = to_binary(event("binary-bytes", b"\xff\x00\x01", datacontenttype="application/octet-stream"), data_marshaller=lambda data: data)
told("binary bytes", headers, body, base64.b64encode(b"\xff\x00\x01").decode())
