"""A server and clients of WebSocket, by the package websockets.

    peer.py server HOST             prints the port it serves at, then serves
    peer.py client URL [CA]         speaks, and prints "ok"
    peer.py hold COUNT URL [CA]     opens connections and prints "<COUNT held>"; once its stdin is closed,
                                    speaks on each, and prints "alive"
"""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(socket):
    if socket.request.path.startswith("/bye"):
        await socket.close(4001, "so it is")
        return
    async for message in socket:
        await socket.send(message)


def select(_connection, offered):
    return "chat" if "chat" in offered else None


async def run_server(host):
    how = {"select_subprotocol": select, "max_size": None}
    async with serve(echo, host, 0, **how) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def open_one(url, ca, **how):
    if ca:
        how["ssl"] = ssl.create_default_context(cafile=ca)
        how["server_hostname"] = "a.test"
    # The name that is asked for is not that of the address.
    return connect(url, additional_headers={"x-own": "1"}, max_size=None, proxy=None, **how)


async def talk(url, ca):
    async with open_one(url, ca, subprotocols=["other", "chat"]) as socket:
        assert socket.subprotocol == "chat", socket.subprotocol
        assert socket.response.headers["server"] == "gatehouse"
        for message in ["hello", "", "\u00fc" * 1000, b"\x00\xff", bytes(2_000_000)]:
            await socket.send(message)
            assert await socket.recv() == message
        # In pieces, each on its way before the next is there.
        await socket.send(part for part in ["one", "two", "three"])
        assert await socket.recv() == "onetwothree"
        await asyncio.wait_for(await socket.ping(), 20)
        await socket.close(4000, "enough")
        assert socket.close_code == 4000, socket.close_code
    async with open_one(url + "/bye", ca) as socket:
        try:
            await socket.recv()
            raise AssertionError("not closed")
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "so it is"), closed
    print("ok")


async def hold(count, url, ca):
    sockets = [await open_one(url, ca, ping_interval=None) for _ in range(count)]
    print(f"<{count} held>", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for number, socket in enumerate(sockets):
        await socket.send(str(number))
        assert await socket.recv() == str(number)
    print("alive", flush=True)
    for socket in sockets:
        await socket.close()


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    if verb == "server":
        asyncio.run(run_server(rest[0]))
    elif verb == "client":
        asyncio.run(talk(rest[0], rest[1] if len(rest) > 1 else None))
    else:
        asyncio.run(hold(int(rest[0]), rest[1], rest[2] if len(rest) > 2 else None))
