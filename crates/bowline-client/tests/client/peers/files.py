# A file server and a receiver of forms, by starlette: files.py FILE prints its port.
import hashlib
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route

path = sys.argv[1]


async def file(request):
    return FileResponse(path)


async def form(request):
    fields = []
    async with request.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                content = await value.read()
                digest = hashlib.sha256(content).hexdigest()
                fields.append([name, value.filename, value.content_type, len(content), digest])
            else:
                fields.append([name, value])
    return JSONResponse(fields)


async def raw(request):
    digest, length = hashlib.sha256(), 0
    async for chunk in request.stream():
        digest.update(chunk)
        length += len(chunk)
    told = [request.headers.get(name) for name in ("content-type", "content-length", "transfer-encoding")]
    return JSONResponse([length, digest.hexdigest(), *told])


routes = [Route("/file", file), Route("/form", form, methods=["POST"]), Route("/raw", raw, methods=["POST"])]
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error"))
server.run(sockets=[listener])
