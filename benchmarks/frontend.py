"""A frontend that says what it is told to say: real gRPC, and of Temporal the calls that the hook makes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from benchmarks.health_client import SERVICE


class Frontend:
    """Listens on a free port of loopback as a context manager; NOT_SERVING until it is told otherwise."""

    def __init__(self) -> None:
        """Listen on nothing yet."""
        self._health = health.HealthServicer()
        self._server = grpc.server(ThreadPoolExecutor(max_workers=8))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        read: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(lambda request, _: request)
        missing: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
            lambda _, context: context.abort(grpc.StatusCode.NOT_FOUND, "workflow not found for ID: probe")
        )
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    SERVICE, {"GetClusterInfo": read, "DescribeWorkflowExecution": missing}
                ),
            )
        )
        self.serve(serving=False)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def serve(self, *, serving: bool) -> None:
        """Say so from now on."""
        says = health_pb2.HealthCheckResponse
        self._health.set(SERVICE, says.SERVING if serving else says.NOT_SERVING)

    def __enter__(self) -> Self:
        """Listen."""
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.stop(grace=None).wait()
