#!/bin/sh
# Runs `check` in the cluster, with the settings, Secrets and rights of a gate that has run: check.sh NAMESPACE JOB
# It changes nothing, and exits with the exit code of `check`. The Job of the gate stays after a failure; this one is a copy of
# it, which is deleted at the end, so that an alert on failed Jobs does not count it.
set -eu
namespace=$1 gate=$2
check="$(printf %.57s "$gate")-check" # a Job may have 63 characters

kubectl -n "$namespace" delete job "$check" --ignore-not-found
kubectl -n "$namespace" get job "$gate" -o json |
    jq --arg name "$check" '{
        apiVersion, kind,
        metadata: {name: $name, namespace: .metadata.namespace},
        spec: {
            backoffLimit: 0, activeDeadlineSeconds: 300, ttlSecondsAfterFinished: 3600,
            template: .spec.template
        }
    }
    | .spec.template.metadata.labels |= with_entries(select(.key | test("controller-uid$|job-name$") | not))
    | .spec.template.spec.containers[0].args[0] = "check"' |
    kubectl create -f -
for _ in $(seq 60); do # logs fails until the container has started
    kubectl -n "$namespace" logs "job/$check" >/dev/null 2>&1 && break
    sleep 2
done
kubectl -n "$namespace" logs --follow "job/$check"
code=
for _ in $(seq 30); do # the pod's status follows its log
    code=$(kubectl -n "$namespace" get pods -l "job-name=$check" \
        -o jsonpath='{.items[*].status.containerStatuses[?(@.name=="gate")].state.terminated.exitCode}')
    [ -n "$code" ] && break
    sleep 1
done
if [ -z "$code" ]; then
    echo "Job $check has not ended. Look at it: kubectl -n $namespace describe job $check" >&2
    exit 1
fi
kubectl -n "$namespace" delete job "$check"
exit "$code"
