"""A gRPC server and a gRPC client, both grpcio's own. Messages are bytes: no .proto is needed.

    peer.py server ADDRESS              prints the port it serves at, then serves
    peer.py client ADDRESS [CA]         makes every call, over TLS where a CA is given; prints JSON
"""

import json
import sys
import threading
import time
from concurrent import futures

import grpc

Code = grpc.StatusCode


class Server(grpc.GenericRpcHandler):
    """Methods below any service name: what differs between services is the gateway's routes."""

    def __init__(self):
        self.lock = threading.Lock()
        self.failures = {}
        self.cancelled = 0

    def service(self, details):
        method = details.method.rsplit("/", 1)[-1]
        kinds = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Sleep": grpc.unary_unary_rpc_method_handler(self.sleep),
            "Cancelled": grpc.unary_unary_rpc_method_handler(
                lambda request, context: str(self.cancelled).encode()
            ),
            "Collect": grpc.stream_unary_rpc_method_handler(self.collect),
            "Repeat": grpc.unary_stream_rpc_method_handler(self.repeat),
            "Forever": grpc.unary_stream_rpc_method_handler(self.forever),
            "Echo": grpc.stream_stream_rpc_method_handler(self.echo),
        }
        return kinds.get(method)

    def unary(self, request, context):
        """Gives the message and the metadata back."""
        seen = dict(context.invocation_metadata())
        left = context.time_remaining()
        context.send_initial_metadata([("x-first", "1")])
        context.set_trailing_metadata(
            [
                ("x-last", "2"),
                ("x-last-bin", b"\x00\xff"),
                ("x-seen", json.dumps({k: str(v) for k, v in seen.items()})),
                ("x-left", "none" if left is None or left > 1e6 else f"{left:.3f}"),
            ]
        )
        return request

    def fail(self, request, context):
        """Fails so often as it is told, for each key, with the status it is told."""
        told = json.loads(request)
        with self.lock:
            failed = self.failures.get(told["key"], 0)
            if failed < told["times"]:
                self.failures[told["key"]] = failed + 1
        if failed < told["times"]:
            context.abort(getattr(Code, told["status"]), f"failure {failed + 1}: 50% \u00fc")
        seen = dict(context.invocation_metadata())
        return seen.get("x-envoy-attempt-count", "none").encode()

    def sleep(self, request, context):
        time.sleep(float(request))
        return request

    def collect(self, requests, context):
        sizes = [len(request) for request in requests]
        return json.dumps([len(sizes), sum(sizes)]).encode()

    def repeat(self, request, context):
        for number in range(int(request)):
            yield str(number).encode()
        if int(request) == 3:
            context.abort(Code.OUT_OF_RANGE, "three are enough")

    def forever(self, request, context):
        def gone():
            with self.lock:
                self.cancelled += 1

        context.add_callback(gone)
        number = 0
        while context.is_active():
            yield str(number).encode()
            number += 1
            time.sleep(0.01)

    def echo(self, requests, context):
        yield from requests


def serve(address):
    server = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers([Server()])
    port = server.add_insecure_port(address)
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0)


class Client:
    def __init__(self, target, ca):
        options = [("grpc.enable_retries", 0), ("grpc.default_authority", "a.test")]
        if ca:
            with open(ca, "rb") as file:
                credentials = grpc.ssl_channel_credentials(file.read())
            self.channel = grpc.secure_channel(target, credentials, options=options)
        else:
            self.channel = grpc.insecure_channel(target, options=options)

    def unary(self, method, message, **how):
        how.setdefault("timeout", 20)
        return self.channel.unary_unary(method).with_call(message, **how)

    def fails(self, method, message, **how):
        """The status and the text that a call ends with."""
        try:
            got, _ = self.unary(method, message, **how)
        except grpc.RpcError as error:
            return [error.code().name, error.details()]
        return ["OK", got.decode()]

    def stream(self, kind, method):
        return getattr(self.channel, kind)(method)


def fail(status, times, key):
    return json.dumps({"status": status, "times": times, "key": key}).encode()


def kinds(client):
    """Each of the four, and what goes with a call."""
    got, call = client.unary("/test.Plain/Unary", b"hello", metadata=[("x-own", "mine")])
    assert got == b"hello", got
    assert dict(call.initial_metadata())["x-first"] == "1", call.initial_metadata()
    last = dict(call.trailing_metadata())
    assert (last["x-last"], last["x-last-bin"]) == ("2", b"\x00\xff"), last
    seen = json.loads(last["x-seen"])
    assert seen["x-own"] == "mine", seen
    assert 15 < float(last["x-left"]) <= 20, last
    large = bytes(3_000_000)
    assert client.unary("/test.Plain/Unary", large)[0] == large
    assert client.unary("/test.Plain/Unary", b"")[0] == b""
    squeezed = client.channel.unary_unary("/test.Plain/Unary")
    assert squeezed(b"a" * 9999, timeout=20, compression=grpc.Compression.Gzip) == b"a" * 9999

    collect = client.stream("stream_unary", "/test.Plain/Collect")
    pieces = (b"x" * size for size in range(1000))
    assert json.loads(collect(pieces, timeout=20)) == [1000, 499500]
    assert json.loads(collect(iter([]), timeout=20)) == [0, 0]

    repeat = client.stream("unary_stream", "/test.Plain/Repeat")
    assert list(repeat(b"1000", timeout=20)) == [str(n).encode() for n in range(1000)]
    assert list(repeat(b"0", timeout=20)) == []
    stream = repeat(b"3", timeout=20)
    got = []
    try:
        for message in stream:
            got.append(message)
        raise AssertionError("no error")
    except grpc.RpcError as error:
        assert error.code() == Code.OUT_OF_RANGE, error
        assert error.details() == "three are enough", error
    assert got == [b"0", b"1", b"2"], got

    # Each message is answered before the next one is written.
    turn = threading.Semaphore(1)

    def one_by_one():
        for number in range(50):
            assert turn.acquire(timeout=20)
            yield str(number).encode()

    echoed = []
    for message in client.stream("stream_stream", "/test.Plain/Echo")(one_by_one(), timeout=20):
        echoed.append(message)
        turn.release()
    assert len(echoed) == 50, echoed


def ends(client):
    """How calls end that do not end well."""
    said = {
        # The server's own, without a body.
        "server": client.fails("/test.Plain/Fail", fail("FAILED_PRECONDITION", 9, "server" + client.key)),
        "no_method": client.fails("/test.Plain/Nothing", b""),
        # The gateway's.
        "no_route": client.fails("/test.Nowhere/Unary", b""),
        "no_endpoint": client.fails("/test.Empty/Unary", b""),
        "closed": client.fails("/test.Closed/Unary", b""),
        "unknown": client.fails("/test.Unknown/Unary", b""),
        "fault": client.fails("/test.Fault/Unary", b""),
        "route_timeout": client.fails("/test.Short/Sleep", b"5"),
    }
    # The client's own deadline.
    start = time.monotonic()
    said["deadline"] = client.fails("/test.Plain/Sleep", b"5", timeout=0.4)[0]
    assert 0.3 < time.monotonic() - start < 3
    # The shorter one counts, and the server is told.
    told = client.unary("/test.Short/Unary", b"", timeout=20)[1]
    left = float(dict(told.trailing_metadata())["x-left"])
    assert left <= 0.5, left
    return said


def retries(client):
    """Failures that the route repeats, and others."""
    said = {}
    for status in [
        "UNAVAILABLE",
        "CANCELLED",
        "DEADLINE_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "INTERNAL",
        "ABORTED",
    ]:
        said[status] = client.fails("/test.Retried/Fail", fail(status, 2, status + client.key))
    said["too_often"] = client.fails(
        "/test.Retried/Fail", fail("UNAVAILABLE", 9, "often" + client.key)
    )
    # Istio's default: unavailable and cancelled, twice.
    said["default"] = client.fails(
        "/test.Plain/Fail", fail("UNAVAILABLE", 2, "default" + client.key)
    )
    said["default_other"] = client.fails(
        "/test.Plain/Fail", fail("INTERNAL", 1, "other" + client.key)
    )
    return said


def cancelled(client):
    """A client that leaves is missed by the server."""
    before = int(client.unary("/test.Plain/Cancelled", b"")[0])
    stream = client.stream("unary_stream", "/test.Plain/Forever")(b"", timeout=20)
    for _ in range(3):
        next(stream)
    stream.cancel()
    for _ in range(200):
        if int(client.unary("/test.Plain/Cancelled", b"")[0]) == before + 1:
            return
        time.sleep(0.05)
    raise AssertionError("the server was not told")


def many_at_once(client):
    """Hundreds of calls share a connection."""
    call = client.channel.unary_unary("/test.Plain/Unary")
    under_way = [call.future(str(n).encode(), timeout=20) for n in range(500)]
    for number, one in enumerate(under_way):
        assert one.result() == str(number).encode()


def ask(target, ca):
    client = Client(target, ca)
    client.key = f"-{'tls' if ca else 'h2c'}"
    kinds(client)
    cancelled(client)
    many_at_once(client)
    print(json.dumps({"ends": ends(client), "retries": retries(client)}))


if __name__ == "__main__":
    if sys.argv[1] == "server":
        serve(sys.argv[2])
    else:
        ask(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
