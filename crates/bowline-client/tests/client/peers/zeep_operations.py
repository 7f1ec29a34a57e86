"""Lists what Zeep finds in the WSDL at the address that is its argument, as JSON.

Out: a list of [service, port, operation, style, fields], where fields are the ways to all that goes in, in order: "id",
"customer.name"; attributes first, as "@state".
"""

import json
import sys

import zeep
from zeep import xsd


def fields(kind, way=""):
    found = []
    if isinstance(kind, xsd.ComplexType):
        found += [way + "@" + name for name, _ in kind.attributes]
        for name, element in kind.elements:
            own = way + ("$text" if name == "_value_1" else name)
            found += [own, *fields(element.type, own + ".")]
    return found


listed = []
for service in zeep.Client(sys.argv[1]).wsdl.services.values():
    for port in service.ports.values():
        for name, operation in port.binding._operations.items():
            style = operation.style or port.binding.default_style
            listed.append([service.name, port.name, name, style, fields(operation.input.body.type)])
json.dump(listed, sys.stdout)
