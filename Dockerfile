# The image: a base without what builds, the locked dependencies, the program; a layer each, rarest change first.
# The last stage runs nothing, so that no layer holds what a later one deletes.

# Python 3.11.16 on Debian 12 as of 2026-08-25, an index of all architectures. The digest is the one that Docker's own record
# of this tag has (docker-library/repo-info, repos/python/remote/3.11-slim-bookworm.md). The tag is for readers: the digest
# decides, and a newer one is taken from `docker buildx imagetools inspect python:3.11-slim-bookworm`.
# Both images need the same Python at the same path: what the first one installs runs on the second.
ARG BUILD_IMAGE=docker.io/library/python:3.11-slim-bookworm@sha256:0bee7276f83efd4a1ee05bbbf4281d95ed28e079220a9457f25a93e3f1e3c31b
ARG RUNTIME_IMAGE=docker.io/library/python:3.11-slim-bookworm@sha256:0bee7276f83efd4a1ee05bbbf4281d95ed28e079220a9457f25a93e3f1e3c31b


FROM ${BUILD_IMAGE} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
# pip lives in an environment of its own and installs into the one that is shipped.
RUN python3 -m venv /build/tools && python3 -m venv --without-pip /app
COPY requirements/runtime.lock /build/
# --no-deps: the lock is complete. --only-binary: nothing is compiled, and no package's setup code runs.
# Of bin only the links to the interpreter stay, not the libraries' own commands.
# kubernetes/aio is the client's asynchronous half, 56 MB, and needs aiohttp; the program uses the other one.
# Bytecode by unchecked hash: nobody can write it later, and it stays valid where a registry tool rewrites timestamps.
# That of kubernetes' generated API and models would be as large as all else and is never loaded.
RUN /build/tools/bin/pip --python /app/bin/python install --quiet \
        --no-deps --only-binary :all: --require-hashes --requirement /build/runtime.lock \
    && rm -r /app/lib/python3.*/site-packages/kubernetes/aio /app/include \
    && find /app/bin -type f -delete \
    && /app/bin/python -m compileall -q --invalidation-mode unchecked-hash -x '/kubernetes/client/(api|models)/' /app/lib


FROM dependencies AS program
COPY requirements/dev.lock /build/
# The build backend by its hashes too: its blocks out of the developers' lock.
RUN awk '/^[a-z]/ { wanted = /^(hatchling|packaging|pathspec|pluggy|trove-classifiers)==/ } wanted' /build/dev.lock \
        > /build/backend.lock \
    && /build/tools/bin/pip install --quiet --no-deps --only-binary :all: --require-hashes --requirement /build/backend.lock
WORKDIR /build/source
COPY pyproject.toml README.md LICENSE ./
COPY hook hook
# The console script is isolated (-I: no PYTHON* variable, no user site, nothing from the working directory) and unbuffered.
# -s and -p: a traceback names the file where it will be. Importing every module proves that nothing needed was left out.
RUN /build/tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /build/wheel . \
    && /build/tools/bin/pip --python /app/bin/python install --quiet --no-deps --no-index --prefix /program /build/wheel/*.whl \
    && sed -i '1s|.*|#!/app/bin/python -Iu|' /program/bin/temporal-recovery-hook \
    && /app/bin/python -m compileall -q --invalidation-mode unchecked-hash -s /program -p /app /program/lib \
    && cp -a /program/. /app/ \
    && /app/bin/python -IBc 'import hook, importlib, pkgutil; [importlib.import_module(one.name) for one in pkgutil.walk_packages(hook.__path__, "hook.") if one.name != "hook.__main__"]' \
    && /app/bin/temporal-recovery-hook --version


FROM ${RUNTIME_IMAGE} AS base
# Out: what installs and builds, caches, manuals (the copyright notices stay), set-uid bits. In: the standard library's bytecode,
# which the official image leaves out, and which would be compiled anew at each start in a file system that is read-only.
RUN rm -rf /usr/local/bin/pip* /usr/local/bin/wheel /usr/local/bin/idle* /usr/local/bin/2to3* /usr/local/bin/*-config \
        /usr/local/include /usr/local/lib/pkgconfig /usr/local/lib/python3.*/config-* \
        /usr/local/lib/python3.*/site-packages/* \
    && for unused in ensurepip idlelib lib2to3 pydoc_data tkinter turtledemo; do \
        rm -rf /usr/local/lib/python3.*/"$unused" /usr/lib/python3.*/"$unused"; \
    done \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/* /tmp/* /root/.cache \
        /usr/share/man/* /usr/share/info/* /usr/share/locale/* \
    && find /usr/share/doc -type f ! -name copyright -delete \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && python3 -m compileall -q --invalidation-mode unchecked-hash "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"


FROM scratch
# Whole, on purpose: as a parent its layers would bring back what was taken out of it.
# hadolint ignore=DL3067
COPY --from=base / /
COPY --from=dependencies /app /app
COPY --from=program /program /app

# The variables of Python's are for whoever starts another program in here; the console script does not read them.
# RES_OPTIONS: libc hears no signal while it waits for a name server. One that hangs holds it up for 2 s a name by these (1 s with
# the search list, 1 s as it is; seen), for 20 s by default. The gate looks again every 2 s: that is all the repeating it needs.
# SSL_CERT_FILE: the base's bundle of public authorities. The OpenSSL in psycopg's wheels has no directory of its own that exists,
# so that `sslRootCertFile: system` would find none without it.
ENV PATH=/app/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RES_OPTIONS="timeout:1 attempts:1" \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# No name, no home: a number that runAsNonRoot can verify.
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/app/bin/temporal-recovery-hook"]
CMD ["--help"]

ARG RUNTIME_IMAGE
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="temporal-recovery-hook" \
    org.opencontainers.image.description="Gates an Argo CD rollout on Temporal's real state and repairs what a person repaired by hand." \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="${RUNTIME_IMAGE}" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
