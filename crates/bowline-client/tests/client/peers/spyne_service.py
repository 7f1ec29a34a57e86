"""A SOAP service made of Spyne: document/literal, SOAP 1.1 at /soap11 and 1.2 at /soap12, each with its own WSDL.

Prints its port. What it receives is kept: GET /seen gives it as JSON, a list for each request and a new list after that.
With /secure before the path, a request needs a UsernameToken of WS-Security: bob, with the password s3cret&<pass>.
"""

import base64
import datetime
import decimal
import hashlib
import json
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

if sys.version_info >= (3, 12):
    # Spyne carries an old six, which newer Pythons cannot import.
    import importlib
    import operator

    import six

    six.get_function_name = operator.attrgetter("__name__")
    sys.modules["spyne.util.six"] = six
    sys.modules["spyne.util.six.moves"] = six.moves
    for name in ("collections_abc", "urllib", "urllib.parse", "urllib.request", "urllib.error", "http_cookies"):
        sys.modules["spyne.util.six.moves." + name] = importlib.import_module("six.moves." + name)

from lxml import etree
from spyne import Application, ServiceBase, rpc
from spyne.error import ResourceNotFoundError
from spyne.model.complex import Array, ComplexModel, XmlAttribute, XmlData
from spyne.model.enum import Enum
from spyne.model.fault import Fault
from spyne.model.primitive import (
    Boolean,
    Date,
    DateTime,
    Decimal,
    Double,
    Integer,
    Integer32,
    Long,
    Time,
    Unicode,
    UnsignedByte,
)
from spyne.model.binary import ByteArray
from spyne.protocol.soap import Soap11, Soap12
from spyne.server.wsgi import WsgiApplication

ORDERS, PARTIES = "urn:peers:orders", "urn:peers:parties"
WSSE = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd}"
WSU = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
USER, PASSWORD = "bob", "s3cret&<pass>"


class Party(ComplexModel):
    __namespace__ = PARTIES
    name = Unicode(min_occurs=1, nillable=False)
    born = Date


class Company(Party):
    __namespace__ = PARTIES
    vat = Unicode
    staff = Integer32


State = Enum("open", "shipped", "in transit", type_name="State")


class Money(ComplexModel):
    __namespace__ = ORDERS
    currency = XmlAttribute(Unicode(min_len=3, max_len=3), use="required")
    amount = XmlData(Decimal)


class Line(ComplexModel):
    __namespace__ = ORDERS
    sku = Unicode(min_occurs=1, nillable=False)
    quantity = UnsignedByte(min_occurs=1, nillable=False)
    price = Money
    gift = Boolean
    number = XmlAttribute(Integer32)


class Order(ComplexModel):
    __namespace__ = ORDERS
    _type_info = [
        ("id", Long(min_occurs=1, nillable=False)),
        ("state", State),
        ("customer", Party.customize(min_occurs=1, nillable=False)),
        ("line", Line.customize(max_occurs="unbounded")),
        ("tags", Array(Unicode)),
        ("placed", DateTime),
        ("at", Time),
        ("weight", Double),
        ("total", Decimal),
        ("big", Integer),
        ("photo", ByteArray),
        ("card", Unicode(xml_choice_group="pay")),
        ("iban", Unicode(xml_choice_group="pay")),
        ("version", XmlAttribute(Unicode)),
    ]


class Tenant(ComplexModel):
    __namespace__ = ORDERS
    name = Unicode(min_occurs=1, nillable=False)
    test = Boolean


class NoSuchOrder(Fault):
    __namespace__ = ORDERS


class OrderService(ServiceBase):
    @rpc(Order.customize(min_occurs=1, nillable=False), _returns=Order)
    def Echo(ctx, order):
        return order

    @rpc(Long(min_occurs=1), Unicode, Boolean, _returns=(Unicode, Decimal), _out_variable_names=("text", "number"))
    def Several(ctx, id, name, loud):
        return ("%s %s %s" % (id, name, loud), decimal.Decimal("19.90"))

    @rpc(_returns=Array(Line))
    def Lines(ctx):
        """All lines
        there are."""
        return [
            Line(sku="a<&>", quantity=1, price=Money(currency="EUR", amount=decimal.Decimal("1.10")), number=1),
            Line(sku="b", quantity=2, gift=True),
        ]

    @rpc(_returns=Unicode)
    def Empty(ctx):
        return None

    @rpc(Unicode, Integer32, _throws=NoSuchOrder)
    def Fail(ctx, code, number):
        if code == "NotFound":
            raise ResourceNotFoundError(number)
        raise Fault(code, "no <good> & no bad: %s" % number, detail={"order": {"number": str(number)}})


class BareService(ServiceBase):
    @rpc(Order, _returns=Order, _body_style="bare")
    def Bare(ctx, order):
        return order

    @rpc(Unicode(min_occurs=1, nillable=False), _returns=Unicode, _body_style="bare")
    def BareText(ctx, text):
        return "you said %s" % text


class HeaderService(ServiceBase):
    __in_header__ = Tenant

    @rpc(Unicode, _returns=Unicode)
    def Whose(ctx, prefix):
        tenant = ctx.in_header
        return "%s%s %s" % (prefix, tenant.name, tenant.test)


def application(protocol):
    services = [OrderService, BareService, HeaderService]
    incoming, outgoing = protocol(validator="lxml"), protocol(polymorphic=True)
    app = Application(services, tns=ORDERS, name="Orders", in_protocol=incoming, out_protocol=outgoing)
    return WsgiApplication(app)


def plain(element):
    """The tree, whatever its prefixes."""
    attributes = {}
    for name, value in element.attrib.items():
        if name == XSI_TYPE:
            prefix, _, local = value.rpartition(":")
            value = "{%s}%s" % (element.nsmap.get(prefix or None, ""), local)
        attributes[name] = value
    children = [plain(child) for child in element if isinstance(child.tag, str)]
    text = element.text or ""
    return [element.tag, sorted(attributes.items()), text if not children else text.strip(), children]


NONCES = set()


def refusal(body):
    """Why a request is not let in."""
    envelope = etree.fromstring(body)
    security = envelope.find("{*}Header/" + WSSE + "Security")
    if security is None:
        return "InvalidSecurity", "no Security header"
    soap = envelope.tag.split("}")[0] + "}"
    if security.get(soap + "mustUnderstand") not in ("1", "true", None):
        return "InvalidSecurity", "mustUnderstand"
    token = security.find(WSSE + "UsernameToken")
    password = token.find(WSSE + "Password")
    if token.findtext(WSSE + "Username") != USER:
        return "FailedAuthentication", "the user is not known"
    timestamp = security.find(WSU + "Timestamp")
    now = datetime.datetime.now(datetime.timezone.utc)
    if timestamp is not None:
        created, expires = (
            datetime.datetime.fromisoformat(timestamp.findtext(WSU + name).replace("Z", "+00:00"))
            for name in ("Created", "Expires")
        )
        if not created - datetime.timedelta(minutes=1) <= now < expires:
            return "MessageExpired", "created %s, expires %s" % (created, expires)
    if password.get("Type").endswith("#PasswordText"):
        return None if password.text == PASSWORD else ("FailedAuthentication", "the password is wrong")
    nonce, created = token.findtext(WSSE + "Nonce"), token.findtext(WSU + "Created")
    if nonce in NONCES:
        return "InvalidSecurityToken", "the nonce was there before"
    NONCES.add(nonce)
    made = datetime.datetime.fromisoformat(created.replace("Z", "+00:00"))
    if abs((now - made).total_seconds()) > 300:
        return "MessageExpired", "created %s" % created
    digest = hashlib.sha1(base64.b64decode(nonce) + created.encode() + PASSWORD.encode()).digest()
    if base64.b64encode(digest).decode() == password.text:
        return None
    return "FailedAuthentication", "the digest is wrong"


REFUSED = """<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>
<faultcode xmlns:wsse="%s">wsse:%s</faultcode><faultstring>%s</faultstring></s:Fault></s:Body></s:Envelope>"""

APPLICATIONS = {"soap11": application(Soap11), "soap12": application(Soap12)}
SEEN = []


class Body:
    def __init__(self, body):
        self.body = body

    def read(self, size=-1):
        body, self.body = self.body, b""
        return body


def serve(environ, respond):
    parts = environ["PATH_INFO"].strip("/").split("/")
    if parts == ["seen"]:
        seen = json.dumps(SEEN)
        SEEN.clear()
        respond("200 OK", [("Content-Type", "application/json")])
        return [seen.encode()]
    secure = parts[0] == "secure"
    if secure:
        parts.pop(0)
    app = APPLICATIONS[parts[0]]
    if environ["REQUEST_METHOD"] == "POST":
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        SEEN.append(
            {
                "action": environ.get("HTTP_SOAPACTION", ""),
                "type": environ["CONTENT_TYPE"],
                "message": plain(etree.fromstring(body)),
            }
        )
        refused = refusal(body) if secure else None
        if refused:
            respond("500 Internal Server Error", [("Content-Type", "text/xml; charset=utf-8")])
            return [(REFUSED % (WSSE[1:-1], *refused)).encode()]
        environ["wsgi.input"] = Body(body)
    return app(environ, respond)


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


with make_server("127.0.0.1", 0, serve, handler_class=Quiet) as server:
    print("port", server.server_port, flush=True)
    server.serve_forever()
