"""Endpoints that speak TLS, by Python's ssl (OpenSSL).

    server.py CERTS ADDRESS SERVER...     SERVER is NAME:CERTIFICATE[:mutual|:bytes|:proxy]

Prints `NAME PORT` for each, then `ready`. An endpoint answers what it saw of the handshake, as
headers; `bytes` ones give every byte back, `proxy` ones expect a PROXY header before TLS.
"""

import socket
import ssl
import sys
import threading


def context(certs, certificate, kind):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(f"{certs}/{certificate}.crt", f"{certs}/{certificate}.key")
    if kind == "mutual":
        made.load_verify_locations(f"{certs}/ca.crt")
        made.verify_mode = ssl.CERT_REQUIRED
    if kind != "bytes":
        made.set_alpn_protocols(["http/1.1"])
    made.sni_callback = lambda tls, name, _: NAMES.__setitem__(threading.get_ident(), name)
    return made


NAMES = {}


def serve(listener, name, made, kind):
    number = 0
    while True:
        client, _ = listener.accept()
        number += 1
        threading.Thread(target=answer, args=(client, name, made, kind, number), daemon=True).start()


def proxy_header(client):
    line = b""
    while not line.endswith(b"\r\n"):
        line += client.recv(1)
    return line.decode().strip()


def answer(client, name, made, kind, number):
    try:
        seen = [("x-proxy", proxy_header(client) if kind == "proxy" else "none")]
        client = made.wrap_socket(client, server_side=True)
        certificate = client.getpeercert() or {}
        own = dict(pair[0] for pair in certificate.get("subject", []))
        seen += [("x-name", name), ("x-connection", number),
                 ("x-sni", NAMES.pop(threading.get_ident(), None)),
                 ("x-alpn", client.selected_alpn_protocol()),
                 ("x-client", own.get("commonName", "none")),
                 ("x-resumed", client.session_reused)]
        if kind == "bytes":
            while data := client.recv(65536):
                client.sendall(data)
            client.unwrap()
            return
        while serve_one(client, seen):
            pass
    except OSError:
        pass  # the gateway's matter
    finally:
        client.close()


def serve_one(client, seen):
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(65536)
        if not data:
            return False
        head += data
    head, _, body = head.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ")
    fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
    headers = "".join(f"{name}: {value}\r\n" for name, value in seen)
    if fields.get("upgrade"):
        client.sendall(f"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: "
                       f"{fields['upgrade']}\r\n{headers}\r\n".encode() + body)
        while data := client.recv(65536):
            client.sendall(data)
        return False
    length = int(fields.get("content-length", 0))
    while len(body) < length:
        body += client.recv(65536)
    if path.endswith("/until"):
        # Its length is said by the end alone, and TLS's own last word is left out.
        client.sendall(f"HTTP/1.1 200 OK\r\n{headers}\r\n".encode() + b"x" * 100_000)
        return False
    closes = path.endswith("/close")
    connection = "connection: close\r\n" if closes else ""
    client.sendall(f"HTTP/1.1 200 OK\r\n{connection}{headers}content-length: {length}\r\n\r\n".encode()
                   + body)
    return not closes


def main():
    certs, address, *servers = sys.argv[1:]
    for server in servers:
        name, certificate, kind = (server + ":").split(":")[:3]
        listener = socket.create_server((address, 0), backlog=512)
        arguments = (listener, name, context(certs, certificate, kind), kind)
        threading.Thread(target=serve, args=arguments, daemon=True).start()
        print(name, listener.getsockname()[1], flush=True)
    print("ready", flush=True)
    sys.stdin.read()


main()
