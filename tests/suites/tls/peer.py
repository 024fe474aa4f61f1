"""TLS clients and upstreams of the recorded answers, made with Python's ssl (OpenSSL).

    peer.py upstreams CERTS ADDRESS        echo servers at ADDRESS:9131 (plain) and :9643 (TLS)
    peer.py replay CERTS ADDRESS FILE      asks what FILE (tls.jsonl) asked, prints each difference
    peer.py load CERTS ADDRESS PORT NAME SECONDS RATE
                                           a new connection for each request, for so long and
                                           until stdin ends; prints `certificate NUMBER` for each
                                           that it sees first, and then what it saw
    peer.py named CERTS ADDRESS NAME[:tls]...
                                           servers that say their name and give every byte back;
                                           prints `NAME PORT` for each
    peer.py greet CERTS ADDRESS PORT NAME COUNT
                                           so many connections; prints by whom they were greeted
    peer.py pause CERTS ADDRESS PORT NAME SECONDS
                                           speaks for so long, then is silent; prints how long
                                           that went well, and what ended it
    peer.py drip CERTS ADDRESS PORT NAME   sends its ClientHello byte by byte; prints the status
"""

import hashlib
import json
import socket
import ssl
import sys
import threading
import time
import urllib.parse

TIMEOUT = 10
# Of what the upstream saw, and of answers: what differs each time, or by how a body is framed.
UNSEEN = {"connection", "x-request-id", "x-envoy-expected-rq-timeout-ms",
          "x-envoy-decorator-operation", "accept-encoding"}
UNSAID = {"date", "connection", "content-length", "transfer-encoding", "server",
          "x-envoy-upstream-service-time"}


def read_head(stream):
    """The start line and the fields of a message; none at the end."""
    start = stream.readline().decode("latin-1").rstrip("\r\n")
    if not start:
        return None, []
    fields = []
    while (line := stream.readline().decode("latin-1").rstrip("\r\n")):
        name, _, value = line.partition(":")
        fields.append([name.lower(), value.strip()])
    return start, fields


# --- upstreams ---------------------------------------------------------------------------------

def serve(listener, name, context):
    while True:
        client, _ = listener.accept()
        threading.Thread(target=answer_all, args=(client, name, context), daemon=True).start()


def answer_all(client, name, context):
    seen = []
    try:
        if context:
            client = context.wrap_socket(client, server_side=True)
            certificate = client.getpeercert()
            own = dict(pair[0] for pair in certificate["subject"]) if certificate else {}
            seen = [["x-up-sni", str(NAMES.pop(threading.get_ident(), None))],
                    ["x-up-alpn", str(client.selected_alpn_protocol())],
                    ["x-up-client", own.get("commonName", "none")],
                    ["x-up-version", client.version()]]
        stream = client.makefile("rb")
        while True:
            start, fields = read_head(stream)
            if start is None:
                return
            length = int(dict(fields).get("content-length", 0))
            body = stream.read(length).decode()
            method, path, _ = start.split(" ")
            echo = json.dumps({"name": name, "method": method, "path": path,
                               "headers": fields + seen, "body": body}).encode()
            own = "" if context else f"x-echo: {name}\r\n"
            head = ("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                    f"{own}content-length: {len(echo)}\r\n\r\n")
            client.sendall(head.encode() + echo)
    except OSError:
        pass  # the gateway's matter
    finally:
        client.close()


NAMES = {}


def upstreams(certs, address):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certs}/up.crt", f"{certs}/up.key")
    context.load_verify_locations(f"{certs}/ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    context.sni_callback = lambda _, name, __: NAMES.__setitem__(threading.get_ident(), name)
    for name, port, tls in [("api-v1", 9131, None), ("up", 9643, context)]:
        listener = socket.create_server((address, port), backlog=512)
        threading.Thread(target=serve, args=(listener, name, tls), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


def named(certs, address, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certs}/a.crt", f"{certs}/a.key")
    for name in names:
        name, _, tls = name.partition(":")
        listener = socket.create_server((address, 0), backlog=512)
        arguments = (listener, name, context if tls else None)
        threading.Thread(target=echo_all, args=arguments, daemon=True).start()
        print(name, listener.getsockname()[1], flush=True)
    print("ready", flush=True)
    sys.stdin.read()


def echo_all(listener, name, context):
    while True:
        client, _ = listener.accept()
        threading.Thread(target=echo, args=(client, name, context), daemon=True).start()


def echo(client, name, context):
    try:
        with client:
            if context:
                client = context.wrap_socket(client, server_side=True)
            client.sendall(f"{name}\n".encode())
            while data := client.recv(65536):
                client.sendall(data)
    except OSError:
        pass  # the gateway's matter


# --- clients -----------------------------------------------------------------------------------

VERSIONS = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1,
            "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def client_context(certs, request):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(f"{certs}/ca.crt")
    if request.get("alpn"):
        context.set_alpn_protocols(request["alpn"])
    if request.get("min"):
        context.minimum_version = VERSIONS[request["min"]]
    if request.get("max"):
        context.maximum_version = VERSIONS[request["max"]]
    if request.get("ciphers"):
        context.set_ciphers(request["ciphers"])
    if request.get("cert"):
        context.load_cert_chain(f"{certs}/{request['cert']}.crt", f"{certs}/{request['cert']}.key")
    return context


def ask(certs, address, request):
    """The answer, in the form in which it was recorded."""
    answer = {}
    try:
        stream = socket.create_connection((address, request["port"]), timeout=TIMEOUT)
        with stream:
            if not request.get("plain"):
                context = client_context(certs, request)
                stream = context.wrap_socket(stream, server_hostname=request["sni"])
                subject = dict(pair[0] for pair in stream.getpeercert()["subject"])
                answer["tls"] = {"version": stream.version(),
                                 "alpn": stream.selected_alpn_protocol(),
                                 "certificate": subject["commonName"]}
                if answer["tls"]["alpn"] == "h2":
                    return answer
            fields = "".join(f"{name}: {value}\r\n" for name, value in request.get("headers", []))
            head = f"GET {request['path']} HTTP/1.1\r\nhost: {request['host']}\r\n{fields}\r\n"
            stream.sendall(head.encode())
            return answer | read_answer(stream.makefile("rb"))
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        return {"error": "closed"}


def read_answer(stream):
    start, fields = read_head(stream)
    if start is None:
        return {"error": "closed"}
    status = int(start.split(" ")[1])
    body = stream.read(int(dict(fields).get("content-length", 0))).decode()
    answer = {"status": status, "headers": fields}
    try:
        answer["echo"] = json.loads(body)
    except ValueError:
        answer["body"] = body
    return answer


def fits(answer, certs, address):
    """An answer without what cannot be compared."""
    if "error" in answer:
        # With TLS 1.3 a client may learn of a refusal after the handshake.
        return {"error": "closed"}
    text = json.dumps(answer).replace(address, "127.0.0.1")
    with open(f"{certs}/client.crt") as pem:
        pem = pem.read()
    der = ssl.PEM_cert_to_DER_cert(pem)
    text = text.replace(hashlib.sha256(der).hexdigest(), "@HASH@")
    text = text.replace(urllib.parse.quote(pem, safe="-"), "@CERT@")
    answer = json.loads(text)
    if "headers" in answer:
        answer["headers"] = sorted(f for f in answer["headers"] if f[0] not in UNSAID)
    if "echo" in answer:
        fields = answer["echo"]["headers"]
        answer["echo"]["headers"] = sorted(f for f in fields if f[0] not in UNSEEN)
    # Why a handshake with the endpoint failed is told in words of our own.
    if answer.get("status") == 503:
        answer.pop("body", None)
    return answer


def replay(certs, address, path):
    with open(path) as lines:
        lines = [json.loads(line) for line in lines]
    for number, line in enumerate(lines, 1):
        wanted = fits(line["answer"], certs, address)
        try:
            given = fits(ask(certs, address, line["request"]), certs, address)
        except TimeoutError:
            given = {"error": "no answer in time"}
        if wanted != given:
            print(f"{number}\t{json.dumps(line['request'])}: wanted {json.dumps(wanted)}, "
                  f"given {json.dumps(given)}")
    print(f"compared {len(lines)}")


def load(certs, address, port, name, seconds, rate):
    end = time.monotonic() + float(seconds)
    failed, serials, asked, lock = [], set(), 0, threading.Lock()
    wanted = threading.Thread(target=sys.stdin.read, daemon=True)
    wanted.start()

    def one():
        try:
            context = client_context(certs, {})
            with socket.create_connection((address, int(port)), timeout=TIMEOUT) as stream:
                with context.wrap_socket(stream, server_hostname=name) as stream:
                    serial = stream.getpeercert()["serialNumber"]
                    stream.sendall(f"GET /x HTTP/1.1\r\nhost: {name}\r\n\r\n".encode())
                    status = read_answer(stream.makefile("rb")).get("status")
            with lock:
                if serial not in serials:
                    serials.add(serial)
                    print("certificate", len(serials), flush=True)
                if status != 200:
                    failed.append(f"status {status}")
        except OSError as error:
            with lock:
                failed.append(repr(error))

    threads, next_at = [], time.monotonic()
    while time.monotonic() < end or wanted.is_alive():
        asked += 1
        thread = threading.Thread(target=one)
        thread.start()
        threads.append(thread)
        next_at += 1 / float(rate)
        time.sleep(max(0, next_at - time.monotonic()))
    for thread in threads:
        thread.join()
    print(json.dumps({"asked": asked, "failed": failed, "certificates": len(serials)}))


def greeted(certs, address, port, name):
    """A connection, and who has greeted it."""
    stream = socket.create_connection((address, int(port)), timeout=TIMEOUT)
    stream = client_context(certs, {}).wrap_socket(stream, server_hostname=name,
                                                   suppress_ragged_eofs=False)
    return stream, read_line(stream)


def read_line(stream):
    line = b""
    while not line.endswith(b"\n"):
        byte = stream.recv(1)
        if not byte:
            raise OSError(f"closed after {line}")
        line += byte
    return line.decode().strip()


def greet(certs, address, port, name, count):
    by = {}
    for _ in range(int(count)):
        stream, who = greeted(certs, address, port, name)
        stream.close()
        by[who] = by.get(who, 0) + 1
    print(json.dumps(by))


def pause(certs, address, port, name, seconds):
    stream, _ = greeted(certs, address, port, name)
    end = time.monotonic() + float(seconds)
    while (last := time.monotonic()) < end:
        stream.sendall(b"ping\n")
        assert read_line(stream) == "ping"
    try:
        received = stream.recv(1)
        ended = "close_notify" if received == b"" else repr(received)
    except ssl.SSLEOFError:
        ended = "cut"
    print(json.dumps({"seconds": time.monotonic() - last, "ended": ended}))


def drip(certs, address, port, name):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(certs, {}).wrap_bio(incoming, outgoing, server_hostname=name)
    with socket.create_connection((address, int(port)), timeout=TIMEOUT) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def pump(step):
            while True:
                try:
                    done = step()
                except ssl.SSLWantReadError:
                    done = None
                for byte in outgoing.read():
                    stream.sendall(bytes([byte]))
                if done is not None:
                    return done
                received = stream.recv(65536)
                if not received:
                    raise OSError("closed")
                incoming.write(received)

        pump(lambda: tls.do_handshake() or True)
        pump(lambda: tls.write(f"GET /x HTTP/1.1\r\nhost: {name}\r\n\r\n".encode()))
        print(pump(lambda: tls.read(65536)).split(b" ")[1].decode())


if __name__ == "__main__":
    {"upstreams": upstreams, "replay": replay, "load": load, "drip": drip, "named": named,
     "greet": greet, "pause": pause}[sys.argv[1]](*sys.argv[2:])
