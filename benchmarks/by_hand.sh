#!/bin/sh
# What a person's script would ask instead of the hook: the same reads, by psql and curl. Each argument is a part:
#   stores           both version rows and births, one psql a database
#   frontend         health and GetClusterInfo by gRPC, one curl a call: Debian 12's breaks over a kept HTTP/2 connection (7.88, seen)
#   frontend-python  the same by a minimal client in Python
#   probe            health by grpc-health-probe
#   kubectl          three Applications, each by itself; Deployments and pods; needs a server that kubectl can discover
#   api              three Applications, Deployments and pods, all over one connection of curl
# Where everything is comes by the environment; libpq takes its own variables.
set -eu

selector='app.kubernetes.io%2Fname%3Dtemporal%2Capp.kubernetes.io%2Fcomponent+in+%28history%2Cmatching%2Cfrontend%2Cinternal-frontend%2Cworker%29'
version='SELECT curr_version, creation_time FROM schema_version WHERE version_partition = 0 AND db_name = current_database()'
born='SELECT min(update_time) FROM schema_update_history'
service='temporal.api.workflowservice.v1.WorkflowService'

for part in "$@"; do
    case $part in
    stores)
        for database in $DATABASES; do
            "$PSQL" --no-psqlrc --quiet --tuples-only --no-align --dbname "$database" --command "$version" --command "$born"
        done
        ;;
    frontend)
        for call in grpc.health.v1.Health/Check "$service/GetClusterInfo"; do
            curl --silent --show-error --fail --http2-prior-knowledge --header 'content-type: application/grpc' \
                --header 'te: trailers' --data-binary "@$FRAMES/${call##*/}" "http://$FRONTEND/$call"
        done
        ;;
    frontend-python)
        "$PYTHON" "$HERE/health_client.py" "$FRONTEND"
        ;;
    probe)
        "$PROBE" -addr "$FRONTEND" -service "$service"
        ;;
    kubectl)
        for application in $APPLICATIONS; do
            "$KUBECTL" get application "$application" --namespace argocd --output json
        done
        "$KUBECTL" get deployments,pods --namespace "$NAMESPACE" --output json --selector \
            'app.kubernetes.io/name=temporal,app.kubernetes.io/component in (history,matching,frontend,internal-frontend,worker)'
        ;;
    api)
        applications="$API/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
        set -- "$applications/data-migrations-temporal" "$applications/data-temporal" \
            "$applications/data-temporal-namespace-bootstrap" \
            "$API/apis/apps/v1/namespaces/data/deployments?labelSelector=$selector" \
            "$API/api/v1/namespaces/data/pods?labelSelector=$selector"
        curl --silent --show-error --fail --header "Authorization: Bearer $TOKEN" "$@"
        ;;
    esac
done
