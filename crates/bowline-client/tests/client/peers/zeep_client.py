"""Calls operations with Zeep, as the JSON on its standard input says, and prints what came back, as JSON.

In: {"wsdl", "port", "token": null | "text" | "digest", "calls": [[operation, arguments, headers]]}. In arguments,
{"$bytes": base64} is bytes, {"$decimal": text} a decimal, {"$nil": true} xsi:nil, {"$type": name, ...} a value of that type.
Out: a list of {"value"} or {"code", "subcodes", "message", "detail"}.
"""

import base64
import datetime
import decimal
import json
import sys

import zeep
from lxml import etree
from zeep import xsd
from zeep.helpers import serialize_object
from zeep.wsse.username import UsernameToken

job = json.load(sys.stdin)
token = None
if job.get("token"):
    token = UsernameToken("bob", "s3cret&<pass>", use_digest=job["token"] == "digest")
client = zeep.Client(job["wsdl"], wsse=token, settings=zeep.Settings(strict=True))
service = client.bind(port_name=job.get("port"))
if job.get("address"):
    service._binding_options["address"] = job["address"]


def argument(value):
    if isinstance(value, list):
        return [argument(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "$bytes" in value:
        return base64.b64decode(value["$bytes"])
    if "$decimal" in value:
        return decimal.Decimal(value["$decimal"])
    if "$nil" in value:
        return xsd.Nil
    fields = {name: argument(one) for name, one in value.items() if name != "$type"}
    return client.get_type(value["$type"])(**fields) if "$type" in value else fields


def whole(value):
    """The same, with integers beyond 64 bits as text."""
    if isinstance(value, list):
        return [whole(one) for one in value]
    if isinstance(value, dict):
        return {name: whole(one) for name, one in value.items()}
    return str(value) if isinstance(value, int) and abs(value) >= 1 << 63 else value


def answer(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (datetime.date, datetime.time, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    raise TypeError(value)


answers = []
for operation, arguments, headers in job["calls"]:
    given = argument(arguments)
    options = {}
    if headers:
        options["_soapheaders"] = [client.get_element(name)(**fields) for name, fields in headers.items()]
    try:
        if isinstance(given, dict):
            value = service[operation](**given, **options)
        else:
            value = service[operation](given, **options)
        answers.append({"value": whole(serialize_object(value, dict))})
    except zeep.exceptions.Fault as fault:
        detail = None if fault.detail is None else etree.tostring(fault.detail, method="text").decode().strip()
        subcodes = [code.localname for code in fault.subcodes or []]
        code = (fault.code or "").rpartition(":")[2]
        answers.append({"code": code, "subcodes": subcodes, "message": fault.message, "detail": detail})
json.dump(answers, sys.stdout, default=answer)
