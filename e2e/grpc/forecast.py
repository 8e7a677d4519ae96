"""A gRPC service whose messages are plain bytes: one method of each kind, and two that fail."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

SERVICE = "weather.Forecast"
# Longest wait for the other side to do its part.
PATIENCE_SECS = 10
FAILURE = (grpc.StatusCode.FAILED_PRECONDITION, "no forecast: Straße gesperrt, 100 %")
FAILURE_TRAILERS = (("x-cause", "roadworks"), ("x-detail-bin", bytes(range(256))))
MESSAGE_BYTES_MAX = 16 * 1024 * 1024


class Forecast:
    """The server on a free loopback port, from construction until `stop`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[tuple[str, str | bytes], ...]]] = []
        # The client took the first message of `Hours`: only then comes the second.
        self.first_hour_taken = threading.Event()
        # The server was told that the client gave up.
        self.cancelled = threading.Event()
        # Seconds that the client of `Wait` had left, if it said so.
        self.deadline_secs: float | None = None
        options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
        self._server = grpc.server(ThreadPoolExecutor(max_workers=8), options=options)
        methods = {
            "Today": grpc.unary_unary_rpc_method_handler(self._today),
            "Hours": grpc.unary_stream_rpc_method_handler(self._hours),
            "Sum": grpc.stream_unary_rpc_method_handler(self._sum),
            "Talk": grpc.stream_stream_rpc_method_handler(self._talk),
            "Fail": grpc.unary_unary_rpc_method_handler(self._fail),
            "FailLater": grpc.unary_stream_rpc_method_handler(self._fail_later),
            "Wait": grpc.unary_unary_rpc_method_handler(self._wait),
        }
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, methods)])
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def stop(self) -> None:
        """Ends the server and every open call."""
        self._server.stop(grace=0).wait(PATIENCE_SECS)

    def _seen(self, method: str, context: grpc.ServicerContext) -> None:
        self.calls.append((method, tuple((item.key, item.value) for item in context.invocation_metadata())))

    def _today(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._seen("Today", context)
        context.send_initial_metadata([("x-station", "north")])
        context.set_trailing_metadata([("x-quality", "good")])
        return request

    def _hours(self, request: bytes, context: grpc.ServicerContext):
        self._seen("Hours", context)
        yield b"hour 0"
        if not self.first_hour_taken.wait(PATIENCE_SECS):
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the first message did not arrive before the second")
        for hour in range(1, int(request)):
            yield f"hour {hour}".encode()

    def _sum(self, requests, context: grpc.ServicerContext) -> bytes:
        self._seen("Sum", context)
        return str(sum(int(request) for request in requests)).encode()

    def _talk(self, requests, context: grpc.ServicerContext):
        self._seen("Talk", context)
        for request in requests:
            yield b"echo " + request

    def _fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._seen("Fail", context)
        context.set_trailing_metadata(FAILURE_TRAILERS)
        context.abort(*FAILURE)

    def _fail_later(self, request: bytes, context: grpc.ServicerContext):
        self._seen("FailLater", context)
        yield b"one"
        yield b"two"
        context.set_trailing_metadata(FAILURE_TRAILERS)
        context.abort(*FAILURE)

    def _wait(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.deadline_secs = context.time_remaining()
        self._seen("Wait", context)
        context.add_callback(self.cancelled.set)
        self.cancelled.wait(PATIENCE_SECS)
        return request
