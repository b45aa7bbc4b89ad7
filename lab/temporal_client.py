"""What a running Temporal frontend is asked: health, namespaces, workflows.

Knows Temporal's API by the stubs that come with its SDK, called by plain gRPC: the SDK's own client retries on its own
account and takes 0.3 s to import. Every call is sent once and ends within its deadline.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import grpc
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from temporalio.api.common.v1.message_pb2 import WorkflowExecution, WorkflowType
from temporalio.api.enums.v1.namespace_pb2 import NamespaceState
from temporalio.api.enums.v1.workflow_pb2 import WorkflowExecutionStatus
from temporalio.api.taskqueue.v1.message_pb2 import TaskQueue
from temporalio.api.workflowservice.v1 import request_response_pb2 as api
from temporalio.api.workflowservice.v1.service_pb2_grpc import WorkflowServiceStub

WORKFLOW_SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
_SECONDS = 5.0
_RETENTION = Duration(seconds=24 * 3600)


class CallError(RuntimeError):
    """A call that failed: ``code`` is gRPC's, such as ``UNAVAILABLE``, and the message says what the server said."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code


def health(address: str, service: str = WORKFLOW_SERVICE) -> str:
    """What grpc.health says of a service: ``SERVING``, ``NOT_SERVING`` or the like. Raises ``CallError``."""
    with _channel(address) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=service), timeout=_SECONDS
        )
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def register_namespace(address: str, namespace: str) -> None:
    """Register a namespace with a day of retention. Raises ``CallError``, ALREADY_EXISTS among others."""
    request = api.RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=_RETENTION)
    with _channel(address) as channel:
        WorkflowServiceStub(channel).RegisterNamespace(request, timeout=_SECONDS)


def describe_namespace(address: str, namespace: str) -> str:
    """Its state, such as ``NAMESPACE_STATE_REGISTERED``. Raises ``CallError``, NOT_FOUND among others."""
    with _channel(address) as channel:
        answer = WorkflowServiceStub(channel).DescribeNamespace(
            api.DescribeNamespaceRequest(namespace=namespace), timeout=_SECONDS
        )
    return NamespaceState.Name(answer.namespace_info.state)


def start_workflow(address: str, namespace: str) -> str:
    """Start a workflow that no worker is there to run; its id.

    Raises ``CallError``, UNAVAILABLE ``shard status unknown`` or DEADLINE_EXCEEDED where history lives on a database
    that is gone.
    """
    workflow_id = f"lab-{uuid.uuid4()}"
    request = api.StartWorkflowExecutionRequest(
        namespace=namespace,
        workflow_id=workflow_id,
        workflow_type=WorkflowType(name="lab"),
        task_queue=TaskQueue(name="lab"),
        request_id=str(uuid.uuid4()),
    )
    with _channel(address) as channel:
        WorkflowServiceStub(channel).StartWorkflowExecution(request, timeout=_SECONDS)
    return workflow_id


def describe_workflow(address: str, namespace: str, workflow_id: str) -> str:
    """Its status, such as ``WORKFLOW_EXECUTION_STATUS_RUNNING``. Raises ``CallError``, NOT_FOUND among others."""
    request = api.DescribeWorkflowExecutionRequest(
        namespace=namespace, execution=WorkflowExecution(workflow_id=workflow_id)
    )
    with _channel(address) as channel:
        answer = WorkflowServiceStub(channel).DescribeWorkflowExecution(request, timeout=_SECONDS)
    return WorkflowExecutionStatus.Name(answer.workflow_execution_info.status)


@contextmanager
def _channel(address: str) -> Iterator[grpc.Channel]:
    """A channel for one call; gRPC's error leaves it as ``CallError``."""
    # A proxy of the environment is not for a local server; a subchannel of an earlier call may be in back-off.
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(address, options=options) as channel:
        try:
            yield channel
        except grpc.RpcError as error:
            # What a stub raises is a Call as well (grpc.RpcError, "raised by the gRPC library"), which no type says.
            call = cast("grpc.Call", error)
            raise CallError(call.code().name, call.details() or "") from error
