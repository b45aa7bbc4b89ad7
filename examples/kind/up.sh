#!/bin/sh
# Makes a kind cluster with Argo CD, CloudNativePG and Temporal behind the gate: up.sh GIT_URL [REVISION]
# GIT_URL is this repository, where the cluster can read it without a login; REVISION is a branch or tag of it.
# Needs docker, kind, kubectl and some 6 GiB of memory. `kind delete cluster --name temporal-gate` removes all of it.
set -eu
repository=${1:?usage: up.sh GIT_URL [REVISION]} revision=${2:-main}
cd "$(dirname "$0")"

ARGO_CD=v3.6.1 CLOUDNATIVE_PG=1.30.1
NODE=kindest/node:v1.35.0@sha256:452d707d4862f52530247495d180205e029056831160e22870e37e3f6c1ac31f
GITHUB=https://raw.githubusercontent.com

kind create cluster --name temporal-gate --image "$NODE" --wait 3m
k() { kubectl --context kind-temporal-gate "$@"; }

# The gate's image, as applicationset.yaml names it: nothing pulls it from a registry.
docker build --tag temporal-recovery-hook:kind ../..
kind load docker-image temporal-recovery-hook:kind --name temporal-gate

# Argo CD ignores RollingSync, and syncs everything at once, unless progressive syncs are switched on.
k create namespace argocd
k apply --namespace argocd --server-side --force-conflicts \
    --filename "$GITHUB/argoproj/argo-cd/$ARGO_CD/manifests/install.yaml"
k --namespace argocd patch configmap argocd-cmd-params-cm --type merge \
    --patch '{"data": {"applicationsetcontroller.enable.progressive.syncs": "true"}}'
k --namespace argocd rollout restart deployment argocd-applicationset-controller
for workload in deployment/argocd-applicationset-controller deployment/argocd-repo-server \
    statefulset/argocd-application-controller; do
    k --namespace argocd rollout status "$workload" --timeout 5m
done

# PostgreSQL with two empty databases, which belong to the role of the Secret temporal-db-app.
k apply --server-side \
    --filename "$GITHUB/cloudnative-pg/cloudnative-pg/release-${CLOUDNATIVE_PG%.*}/releases/cnpg-$CLOUDNATIVE_PG.yaml"
k --namespace cnpg-system rollout status deployment cnpg-controller-manager --timeout 5m
# Its webhook answers some seconds after the operator is ready.
for _ in 1 2 3 4 5 6; do
    if k apply --filename database.yaml; then break; fi
    sleep 5
done
k --namespace temporal wait clusters.postgresql.cnpg.io/temporal-db --for condition=Ready --timeout 10m
k --namespace temporal wait databases.postgresql.cnpg.io/temporal-visibility \
    --for 'jsonpath={.status.applied}=true' --timeout 5m

# The rollout.
sed -e "s#https://git.example.org/temporal-recovery-hook.git#$repository#" \
    -e "s#targetRevision: main#targetRevision: $revision#" applicationset.yaml | k apply --filename -
k --namespace argocd get applications --watch
