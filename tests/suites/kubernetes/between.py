"""Stands between gatehouse and the API server, and answers in its place where it is told to.

Plain HTTP on one side, the API server's TLS on the other. FAULTS is a file with one JSON object a
line, which may be rewritten at any time:

    {"method": "PATCH", "path": "services/web/status", "code": 409, "times": 3}

`path` is a part of the path with its query, `code` what is answered: a status, 0 for a connection
that is closed, -1 for no answer at all; "stream": 410 answers a watch with 200 and an event of that
code, and "drop": "ipMode" passes a request on without the members of that name, as a server that does
not know them. A watch that is open already goes on, unless `"cut": true` says that it ends. "stall": true is
no answer but holds back what watches bring, those that are open and those to come, as long as the
line is there. `times` counts down; without it the fault lasts. Every request is a line of REQUESTS: method,
path, and what was answered (`-` where the API server answered).

Usage: between.py ADDRESS PORT SERVER_ADDRESS SERVER_PORT CA FAULTS REQUESTS
"""

import asyncio
import json
import os
import ssl
import sys

ADDRESS, PORT, SERVER, SERVER_PORT, AUTHORITY, FAULTS, REQUESTS = sys.argv[1:8]
TLS = ssl.create_default_context(cafile=AUTHORITY)
TLS.check_hostname = False
used = {}
read = {"at": None, "lines": []}


def lines_about(method, path):
    # It is put in place whole, as another file.
    at = os.stat(FAULTS)
    if read["at"] != (at.st_ino, at.st_mtime_ns):
        with open(FAULTS) as file:
            lines = [line.strip() for line in file if line.strip()]
        read["lines"] = [(line, json.loads(line)) for line in lines]
        read["at"] = (at.st_ino, at.st_mtime_ns)
    for line, told in read["lines"]:
        if told["method"] == method and told["path"] in path:
            yield line, told


def is_told(method, path, what):
    return any(told.get(what) for _, told in lines_about(method, path))


async def until_cut(method, path):
    while "watch=" not in path or not is_told(method, path, "cut"):
        await asyncio.sleep(0.05)


def fault(method, path):
    for line, told in lines_about(method, path):
        if "stall" in told or "drop" in told:
            continue
        if told.get("watch", "watch=" in path) != ("watch=" in path):
            continue
        if used.get(line, 0) >= told.get("times", 1 << 60):
            continue
        used[line] = used.get(line, 0) + 1
        return told
    return None


def without(value, name):
    if isinstance(value, dict):
        return {key: without(member, name) for key, member in value.items() if key != name}
    if isinstance(value, list):
        return [without(member, name) for member in value]
    return value


def passed_on(method, path, body):
    for _, told in lines_about(method, path):
        if "drop" in told:
            body = json.dumps(without(json.loads(body), told["drop"])).encode()
    return body


def status(code):
    return json.dumps({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "reason": {409: "Conflict", 410: "Expired", 429: "TooManyRequests"}.get(code, "InternalError"),
        "message": f"told to answer {code}",
    }).encode()


def answer(code, body):
    more = "retry-after: 1\r\n" if code == 429 else ""
    head = f"HTTP/1.1 {code} It\r\ncontent-type: application/json\r\n{more}connection: close\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def pipe(reader, writer, method, path):
    while True:
        data = await reader.read(65536)
        while "watch=" in path and is_told(method, path, "stall"):
            await asyncio.sleep(0.05)
        if not data:
            break
        writer.write(data)
        await writer.drain()


async def serve(reader, writer):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        method, path, _ = lines[0].split(" ", 2)
        fields = [line.split(": ", 1) for line in lines[1:] if line]
        length = sum(int(value) for name, value in fields if name.lower() == "content-length")
        body = await reader.readexactly(length)
        told = fault(method, path)
        with open(REQUESTS, "a") as file:
            code = "-" if told is None else told.get("stream", told.get("code"))
            file.write(f"{method} {path} {code}\n")
        if told is None:
            body = passed_on(method, path, body) if body else body
            skipped = ("connection", "host", "content-length")
            kept = [f"{name}: {value}" for name, value in fields if name.lower() not in skipped]
            kept = [lines[0], f"host: {SERVER}:{SERVER_PORT}", "connection: close", *kept]
            kept += [f"content-length: {len(body)}"] if body else []
            there = await asyncio.open_connection(SERVER, int(SERVER_PORT), ssl=TLS)
            there[1].write("\r\n".join(kept).encode() + b"\r\n\r\n" + body)
            await there[1].drain()
            # Who goes away on one side is told so on the other: a watch may last for ever.
            gone = asyncio.ensure_future(reader.read())
            flow = asyncio.ensure_future(pipe(there[0], writer, method, path))
            cut = asyncio.ensure_future(until_cut(method, path))
            await asyncio.wait([gone, flow, cut], return_when=asyncio.FIRST_COMPLETED)
            flow.cancel()
            cut.cancel()
            there[1].close()
        elif "stream" in told:
            event = json.dumps({"type": "ERROR", "object": json.loads(status(told["stream"]))})
            writer.write(answer(200, event.encode() + b"\n"))
        elif told["code"] == -1:
            await reader.read()
        elif told["code"] != 0:
            writer.write(answer(told["code"], status(told["code"])))
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, ADDRESS, int(PORT))
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
