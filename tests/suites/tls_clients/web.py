"""A page that opens a WebSocket, and a client of one (Python's websockets).

    web.py serve ADDRESS PORT            the page at /page, an echo at /socket; prints what the page
                                         reports: the protocol it came by, and what the echo said
    web.py echo CA ADDRESS PORT NAME     speaks to wss://NAME:PORT/socket; prints the echo's words
"""

import asyncio
import ssl
import sys
from http import HTTPStatus

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

PAGE = """<!doctype html><title>socket</title><script>
const socket = new WebSocket(`wss://${location.host}/socket`);
const by = performance.getEntriesByType("navigation")[0].nextHopProtocol;
socket.onopen = () => socket.send("hello");
socket.onmessage = (message) => fetch(`/report?${by}+${message.data}`);
socket.onerror = () => fetch(`/report?${by}+error`);
</script>
"""


async def echo(socket):
    async for message in socket:
        await socket.send(f"echo-{message}")


def answer(connection, request):
    path, _, query = request.path.partition("?")
    if path == "/page":
        page = connection.respond(HTTPStatus.OK, PAGE)
        del page.headers["Content-Type"]
        page.headers["Content-Type"] = "text/html"
        return page
    if path == "/report":
        print(f"report {query}", flush=True)
        return connection.respond(HTTPStatus.OK, "thanks")
    if path != "/socket":
        return connection.respond(HTTPStatus.NOT_FOUND, "")
    return None


async def serving(address, port):
    async with serve(echo, address, int(port), process_request=answer):
        print("ready", flush=True)
        await asyncio.Future()


async def speaking(ca, address, port, name):
    context = ssl.create_default_context(cafile=ca)
    uri = f"wss://{name}:{port}/socket"
    async with connect(uri, ssl=context, host=address, port=int(port)) as socket:
        for message in ["one", "two", "x" * 100_000]:
            await socket.send(message)
            said = await socket.recv()
            assert said == f"echo-{message}", said
        tls = socket.transport.get_extra_info("ssl_object")
        print(f"{tls.version()} all echoed", flush=True)


if __name__ == "__main__":
    asyncio.run({"serve": serving, "echo": speaking}[sys.argv[1]](*sys.argv[2:]))
