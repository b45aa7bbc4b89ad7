"""A minimal gRPC client for a shell script: ``python health_client.py ADDRESS``; says SERVING and exits 0, or 1.

Asks what the hook asks: the health of the WorkflowService, then GetClusterInfo, which needs the database.
"""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
_SECONDS = 5.0


def main() -> int:
    """Ask once."""
    with grpc.insecure_channel(sys.argv[1], [("grpc.enable_http_proxy", 0)]) as channel:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        status = health_pb2_grpc.HealthStub(channel).Check(request, timeout=_SECONDS).status
        read = channel.unary_unary(f"/{SERVICE}/GetClusterInfo", request_serializer=bytes, response_deserializer=bytes)
        read(b"", timeout=_SECONDS)
    print(health_pb2.HealthCheckResponse.ServingStatus.Name(status))
    return 0 if status == health_pb2.HealthCheckResponse.SERVING else 1


if __name__ == "__main__":
    sys.exit(main())
