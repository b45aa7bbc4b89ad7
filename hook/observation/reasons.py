"""The one table of reasons: what each means, how long it is waited for, its exit code and what to do.

Log, Event, termination message, ``check`` and ``docs/reasons.md`` all speak from it. It knows nothing else.
"""

from __future__ import annotations

from enum import Enum, IntEnum


class ExitCode(IntEnum):
    """One per class of ending; the chart's podFailurePolicy is written against these numbers."""

    PASSED = 0
    BUG = 1
    SETTINGS = 2
    DEADLINE = 3
    SCHEMA = 4
    MIGRATION = 5
    ACCESS = 6
    TEMPORAL = 7
    DOWNSTREAM = 8
    AUDIT = 9
    SUPERSEDED = 10
    INTERRUPTED = 130
    STOPPED = 143


class Tolerance(Enum):
    """How long a finding is waited for before it ends the run."""

    NONE = "at once"
    """Waiting cannot help: only a person can."""
    MOMENT = "once it lasts for a moment"
    """Only a person can mend it, and somebody who migrates by hand passes through the same."""
    GRACE = "after the grace"
    """Others may still mend it (a Secret, a role, an Application that is on its way)."""
    DEADLINE = "at the deadline"
    """It may pass by itself; the run waits for it as long as it may."""


class Reason(Enum):
    """A reason: its name, exit code, tolerance, meaning and remedy. Remedies say what a person does, not what the hook does."""

    PASSED = (
        "Passed",
        ExitCode.PASSED,
        Tolerance.NONE,
        "Everything that policy asks for holds.",
        "Nothing.",
    )
    PASSED_WITH_WARNING = (
        "PassedWithWarning",
        ExitCode.PASSED,
        Tolerance.NONE,
        "Both schemas are right, but Temporal or a later Application is not up and it is not the gate's to repair; the cure may lie in a later step.",
        "Read the warnings that follow it.",
    )
    HOOK_BUG = (
        "HookBug",
        ExitCode.BUG,
        Tolerance.NONE,
        "The hook itself failed; nothing was decided.",
        "Report it with the log. The Job tries again within its backoffLimit; sync the gate's Application to run it anew.",
    )
    SETTINGS_INVALID = (
        "SettingsInvalid",
        ExitCode.SETTINGS,
        Tolerance.NONE,
        "A setting is unknown, of the wrong type, missing or contradicts another. Nothing was contacted.",
        "Correct the setting that is named, then sync the gate's Application.",
    )
    OWN_APPLICATION_TARGETED = (
        "OwnApplicationTargeted",
        ExitCode.SETTINGS,
        Tolerance.NONE,
        "The gate is told to sync the Application whose sync runs it, which would be a deadlock.",
        "Give the gate an Application of its own, apart from migrations, runtime and downstream.",
    )
    SCHEMA_JOB_BESIDE_SERVERS = (
        "SchemaJobBesideServers",
        ExitCode.SETTINGS,
        Tolerance.NONE,
        "With migrations.beforeServers set, the Application makes its servers in the same sync wave as its schema Job.",
        "Make the schema Job a PreSync hook (Temporal's chart 1.x: schema.useHelmHooks: true), or split the chart into two Applications.",
    )
    RUNTIME_INSTANCES_MIXED = (
        "RuntimeInstancesMixed",
        ExitCode.SETTINGS,
        Tolerance.GRACE,
        "The runtime's selector finds pods of more than one instance (app.kubernetes.io/instance); the gate restarts none of them.",
        "Narrow runtime.selector to one instance, such as app.kubernetes.io/name=temporal,app.kubernetes.io/instance=NAME.",
    )
    MIGRATION_JOB_AMBIGUOUS = (
        "MigrationJobAmbiguous",
        ExitCode.SETTINGS,
        Tolerance.GRACE,
        "The migrations Application has several Jobs, and none can be recognised as the schema's.",
        "Name the schema's Jobs in migrations.jobs.",
    )
    DEADLINE_EXCEEDED = (
        "DeadlineExceeded",
        ExitCode.DEADLINE,
        Tolerance.NONE,
        "The deadline came before all was right; what was still missing is named.",
        "Mend what is named, then sync the gate's Application. Raise deadlineSeconds if it only needed longer.",
    )
    GUARD_SUPERSEDED = (
        "GuardSuperseded",
        ExitCode.SUPERSEDED,
        Tolerance.NONE,
        "Only a guard ends so: while it waited, git got a newer commit for its Application, which cannot be synced before this sync has ended.",
        "Nothing where Argo CD syncs the newer commit by itself (syncPolicy.retry with refresh: true, auto-sync, RollingSync); else sync the Application.",
    )
    MIGRATION_AWAITED = (
        "MigrationAwaited",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "A schema is not right yet, and this run asks for no migration (migrations.attempts is 0): a gate, another guard or a person has to.",
        "Sync the migrations' Application, or the gate's.",
    )
    NOT_YET = (
        "NotYet",
        ExitCode.DEADLINE,
        Tolerance.NONE,
        "Only `check` ends so: `run` would not pass now, but wait or act first. What it would do next is named.",
        "Nothing, if a run is under way or due; else sync the gate's Application, and it does what is named.",
    )
    GATE_DOES_NOT_HOLD = (
        "GateDoesNotHold",
        ExitCode.AUDIT,
        Tolerance.NONE,
        "Only `audit` ends so: something that could be seen does not hold what it is to hold. Each finding is named.",
        "Do what the findings say (docs/gating.md lists them all), then audit again.",
    )
    STOPPED = (
        "Stopped",
        ExitCode.STOPPED,
        Tolerance.NONE,
        "SIGTERM ended the run; what it had started goes on.",
        "Nothing: a new run looks at the world again and goes on from there.",
    )
    INTERRUPTED = (
        "Interrupted",
        ExitCode.INTERRUPTED,
        Tolerance.NONE,
        "The keyboard ended the run; what it had started goes on.",
        "Nothing: a new run looks at the world again and goes on from there.",
    )

    SCHEMA_STUCK = (
        "SchemaStuck",
        ExitCode.SCHEMA,
        Tolerance.MOMENT,
        "A migration was interrupted inside a version whose statements cannot be run twice: every further migration fails.",
        "Run the SQL that is shown, then sync the gate's Application.",
    )
    SCHEMA_VERSION_MISSING = (
        "SchemaVersionMissing",
        ExitCode.SCHEMA,
        Tolerance.GRACE,
        "The database holds Temporal's tables but no version row for its name (renamed or partly restored); a migration would replay from 0.0 and fail.",
        "Let a restore finish. Otherwise write the row of schema_version for this database name with the version that the tables have, then sync the gate's Application.",
    )
    SCHEMA_INCOMPLETE = (
        "SchemaIncomplete",
        ExitCode.SCHEMA,
        Tolerance.GRACE,
        "The version row is there, but tables or columns of that version are not: the database was restored in part, or the row was written by hand.",
        "Finish the restore, or restore the whole database from one backup, then sync the gate's Application.",
    )
    SCHEMA_OF_OTHER_STORE = (
        "SchemaOfOtherStore",
        ExitCode.SCHEMA,
        Tolerance.MOMENT,
        "The database holds the schema of Temporal's other store: the databases are swapped, or the wrong schema directory was applied.",
        "Compare the database names of both stores. If the wrong schema was applied, make the database anew and migrate it, then sync the gate's Application.",
    )
    SCHEMA_VERSION_FOREIGN = (
        "SchemaVersionForeign",
        ExitCode.SCHEMA,
        Tolerance.MOMENT,
        "A table schema_version of another program stands where Temporal would make its own; every migration fails on it.",
        "Give Temporal a database of its own, or a schema of its own that its role and the gate search first.",
    )
    SCHEMA_VERSION_MALFORMED = (
        "SchemaVersionMalformed",
        ExitCode.SCHEMA,
        Tolerance.MOMENT,
        "The version in schema_version is not a version; Temporal would take it for 0.",
        "Correct curr_version in schema_version to the version the schema really has.",
    )
    SCHEMA_VERSION_AMBIGUOUS = (
        "SchemaVersionAmbiguous",
        ExitCode.SCHEMA,
        Tolerance.MOMENT,
        "The table schema_version holds more than one row for this database; its primary key is gone.",
        "Keep the one row that is true, delete the others, and restore the primary key (version_partition, db_name).",
    )
    DATABASE_EMPTY = (
        "DatabaseEmpty",
        ExitCode.SCHEMA,
        Tolerance.NONE,
        "The database has no schema and policy says not to make one (onEmptyDatabase: fail), since a restore may be under way.",
        "Finish the restore, or sync the gate's Application whose policy is migrate.",
    )

    MIGRATION_FAILED = (
        "MigrationFailed",
        ExitCode.MIGRATION,
        Tolerance.NONE,
        "Every attempt of this run to have the schema migrated failed.",
        "Read the migration's own log, mend its cause, then sync the gate's Application.",
    )
    MIGRATION_LEFT_SCHEMA_BEHIND = (
        "MigrationLeftSchemaBehind",
        ExitCode.MIGRATION,
        Tolerance.NONE,
        "The migration succeeded and the schema is still older than the release needs: its schema tool is older than the release, or it works on another database.",
        "Set the migrations' admin-tools image to the release, and compare the database names; then sync both Applications.",
    )

    MIGRATION_HANGS = (
        "MigrationHangs",
        ExitCode.MIGRATION,
        Tolerance.GRACE,
        "The migration's Job neither ends nor works: the fault that holds it lasts, and Kubernetes goes on trying.",
        "Correct what the message names, then sync the migrations Application and the gate's.",
    )
    JOB_SUSPENDED = (
        "JobSuspended",
        ExitCode.MIGRATION,
        Tolerance.GRACE,
        "A Job is suspended (spec.suspend), so it runs no pod.",
        'Resume the Job (kubectl patch job NAME -p \'{"spec":{"suspend":false}}\'), or let its queue admit it.',
    )
    SIDECAR_KEEPS_JOB = (
        "SidecarKeepsJob",
        ExitCode.MIGRATION,
        Tolerance.GRACE,
        "The work of a Job's pod has ended, but a sidecar keeps the pod running, so the Job never completes.",
        "Disable the injection for the Job's pods, or use native sidecars (init containers with restartPolicy: Always).",
    )
    OPERATION_STUCK = (
        "OperationStuck",
        ExitCode.MIGRATION,
        Tolerance.GRACE,
        "Argo CD's operation waits for what cannot come: a hook Job that does not exist, or servers whose schema is gone.",
        "Terminate the operation (argocd app terminate-op NAME), then sync the Application.",
    )
    OPERATION_RETRIES_OLD_COMMIT = (
        "OperationRetriesOldCommit",
        ExitCode.MIGRATION,
        Tolerance.GRACE,
        "Argo CD's operation keeps retrying an old commit while Git has a newer one.",
        "Terminate the operation (argocd app terminate-op NAME), or set spec.syncPolicy.retry.refresh: true so that a retry takes up the newer commit.",
    )

    DATABASE_LOGIN_REFUSED = (
        "DatabaseLoginRefused",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "PostgreSQL, or the pooler or the provider in front of it, refused the login: wrong user, password or token, or a client address that is not allowed.",
        "Check user and password in the Secret against the role in PostgreSQL.",
    )
    DATABASE_CREDENTIALS_MISSING = (
        "DatabaseCredentialsMissing",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "A file with a part of the database's login is not there or cannot be used.",
        "Check the Secret or ConfigMap and its keys (stores.* of the chart): they must be in the gate's namespace.",
    )
    DATABASE_MISSING = (
        "DatabaseMissing",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "PostgreSQL answers, but this database does not exist.",
        "Create the database (the gate never does), or correct its name.",
    )
    DATABASE_PERMISSION_DENIED = (
        "DatabasePermissionDenied",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The role may not read what the gate has to read.",
        "GRANT CONNECT on the database, USAGE on the schema and SELECT on schema_version and schema_update_history to the role.",
    )
    DATABASE_SCHEMA_HIDDEN = (
        "DatabaseSchemaHidden",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "Temporal's table schema_version is in a schema that this session does not search or may not use.",
        "GRANT USAGE on that schema to the role. Set stores.<store>.searchPath to it where Temporal has connectAttributes.search_path; else set the role's search_path.",
    )
    DATABASE_TLS_REFUSED = (
        "DatabaseTlsRefused",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The database and the gate do not agree on TLS: required, refused, or the certificate does not match.",
        "Set sslmode and the CA (and client certificate) as the database asks for them.",
    )
    DATABASE_TLS_FILE_UNUSABLE = (
        "DatabaseTlsFileUnusable",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "A CA, certificate or key file of the gate is missing, cannot be read, or its permissions are too open. The database was not asked.",
        "Mount the Secret's files where the settings say. A client key must not be readable by others: set the volume's defaultMode to 0440 with the pod's fsGroup, or to 0400.",
    )
    DATABASE_OPTIONS_REFUSED = (
        "DatabaseOptionsRefused",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The connection's options are refused: PostgreSQL does not know them, or a pooler does not pass them on.",
        "Remove stores.<store>.options (or searchPath) and set it at the role instead: ALTER ROLE ... SET search_path = ...; or let the pooler pass it on (PgBouncer: ignore_startup_parameters).",
    )
    DATABASE_EXTENSION_MISSING = (
        "DatabaseExtensionMissing",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The next migration needs the extension btree_gin, which the database does not have and the migration may not install.",
        "In that database, as a superuser or the provider's administrator, run CREATE EXTENSION btree_gin.",
    )
    DATABASE_NOT_POSTGRES = (
        "DatabaseNotPostgres",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "Another program answers at this address: MySQL, a web server, or a port that speaks TLS only.",
        "Correct host and port: PostgreSQL usually listens on 5432.",
    )
    DATABASE_SUSPENDED = (
        "DatabaseSuspended",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The provider or the pooler has switched this database off.",
        "Enable it again at the provider or the pooler, or raise the quota that is named.",
    )
    API_FORBIDDEN = (
        "ApiForbidden",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The Kubernetes API, or Argo CD's, forbids what the gate has to do.",
        "Give the gate's ServiceAccount the verb that is named, in the namespace that is named (docs/rbac.md lists them all).",
    )
    API_REQUEST_REFUSED = (
        "ApiRequestRefused",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The Kubernetes API, or Argo CD's, refuses the gate's request as invalid; the same request would be refused again.",
        "Compare the CRDs' version with the release of Argo CD; look at the field that the message names.",
    )
    ADMISSION_DENIED = (
        "AdmissionDenied",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "An admission webhook or policy denies what the gate has to write. RBAC allows it.",
        "Exempt the gate's ServiceAccount in the webhook or policy that is named, or change what it objects to.",
    )
    API_LOGIN_REFUSED = (
        "ApiLoginRefused",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The Kubernetes API, or Argo CD's, does not accept the gate's token or certificate.",
        "Check the kubeconfig, or the ServiceAccount's token.",
    )
    KUBECONFIG_UNUSABLE = (
        "KubeconfigUnusable",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "There is no kubeconfig where it was looked for, or it cannot be used: a context or an entry is missing, or a file that it names.",
        "Correct the path, the context or the entry that is named.",
    )
    CREDENTIAL_HELPER_FAILED = (
        "CredentialHelperFailed",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The exec plugin or the OIDC issuer that the kubeconfig names gives no credentials: it is missing, fails, takes too long or gives something else.",
        "Run the plugin by hand, or check the issuer. A gate is better served by a ServiceAccount's token.",
    )
    API_PROXY_UNUSABLE = (
        "ApiProxyUnusable",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The proxy that requests go through cannot be used, or refuses the gate.",
        "Check HTTPS_PROXY, or proxy-url of the kubeconfig: the address of an HTTP proxy, with its login. If the server is to be reached directly, add its name or address to NO_PROXY.",
    )
    APPLICATION_MISSING = (
        "ApplicationMissing",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "There is no such Application.",
        "Create it, or correct its name and namespace.",
    )
    APPLICATION_IN_OTHER_PROJECT = (
        "ApplicationInOtherProject",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "Argo CD has the Application in another project than the settings name.",
        "Set argocd.server.project, or the Application's own project, to the one that is named.",
    )
    RECONCILIATION_SKIPPED = (
        "ReconciliationSkipped",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The Application carries the annotation argocd.argoproj.io/skip-reconcile, so Argo CD does not process it: no sync, no status.",
        "Remove the annotation from the Application.",
    )
    APPLICATION_BEING_DELETED = (
        "ApplicationBeingDeleted",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The Application is being deleted; Argo CD syncs it no more.",
        "Wait until it is gone and create it again, or remove what blocks its deletion (its finalizer).",
    )
    APPLICATION_INVALID = (
        "ApplicationInvalid",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "Argo CD refuses the Application's specification (InvalidSpecError).",
        "Correct what the message names: project, destination or source.",
    )
    NAMESPACE_MISSING = (
        "NamespaceMissing",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "There is no such namespace.",
        "Create it, or correct its name.",
    )
    ARGO_CD_MISSING = (
        "ArgoCdMissing",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The API server does not know Argo CD's Applications.",
        "Install Argo CD in this cluster, set argocd.kubeconfigFile to the cluster where it runs, or reach its own API by argocd.server.",
    )
    FRONTEND_TLS_REFUSED = (
        "FrontendTlsRefused",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The frontend and the gate do not agree on TLS, or it wants a client certificate.",
        "Set temporal.frontend.tls (CA, client certificate and key, server name) as the frontend asks for them.",
    )
    FRONTEND_REFUSES_GATE = (
        "FrontendRefusesGate",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "Temporal's authorizer, or a mesh or proxy before the frontend, refuses the gate. That Temporal works cannot be proved.",
        "Give the gate a token (temporal.frontend.tokenFile, in the chart tokenSecret), or admit the gate in the mesh or proxy. Temporal's default authorizer wants the permission temporal-system:read.",
    )
    MIGRATION_COMMAND_UNUSABLE = (
        "MigrationCommandUnusable",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The owner's migration command cannot be started, or its state directory cannot be written.",
        "Check migrations.command: the program must exist and be executable, the directory writable.",
    )

    DATABASE_UNREACHABLE = (
        "DatabaseUnreachable",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The database does not answer.",
        "Check that PostgreSQL runs, its host name and port, and network policies.",
    )
    DATABASE_IN_RECOVERY = (
        "DatabaseInRecovery",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The server answers as a standby or is still recovering; no schema can be written there.",
        "Point the gate at the primary (the read-write service), or wait until the promotion is done.",
    )
    DATABASE_READ_ONLY = (
        "DatabaseReadOnly",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The session is read-only though the server is no standby: no migration can run, and Temporal cannot work.",
        "If the disk is full, enlarge it or free space: providers set this then. Else reset default_transaction_read_only where it is set.",
    )
    DATABASE_NOT_ACCEPTING = (
        "DatabaseNotAccepting",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The server answers, but takes no sessions now: it starts, stops or recovers, or this database is closed to connections.",
        "Wait. If it stays so, read PostgreSQL's log, and check datallowconn of the database.",
    )
    DATABASE_CONNECTIONS_EXHAUSTED = (
        "DatabaseConnectionsExhausted",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The server, the role, the database or the pooler has no connection left.",
        "Raise the limit that is named (max_connections, CONNECTION LIMIT, the pooler's), or end idle sessions. The gate takes one connection for each store and look.",
    )
    DATABASE_BUSY = (
        "DatabaseBusy",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The database answers, but a statement was not done in time: another session holds a lock, or the server is loaded.",
        "Wait. If it stays so, look for the session that holds the lock (pg_stat_activity, pg_blocking_pids), or raise requestTimeoutSeconds.",
    )
    DATABASE_ERROR = (
        "DatabaseError",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The database, or what stands in front of it, answers with an error that the gate has no better name for.",
        "Read its own words; PostgreSQL's log has more.",
    )
    SCHEMA_BEING_CHANGED = (
        "SchemaBeingChanged",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The schema is not whole, and another session is changing it right now: a restore, or a migration by hand.",
        "Wait for it. If it hangs, look at that session in pg_stat_activity.",
    )
    API_UNREACHABLE = (
        "ApiUnreachable",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The Kubernetes API, or Argo CD's, does not answer, or answers with an error of its own.",
        "Check the API server, and network policies between it and the gate.",
    )
    ANSWER_NOT_UNDERSTOOD = (
        "AnswerNotUnderstood",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The Kubernetes API, or Argo CD's, answered with something that its own schema does not allow, so what it describes is unknown.",
        "Look at the object at the path that is named; a proxy or a conversion webhook may have changed it.",
    )
    MIGRATION_RUNNING = (
        "MigrationRunning",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "A migration is running; a schema in the middle of an update is not judged.",
        "Wait for it. If it hangs, look at its pod.",
    )
    MIGRATION_BLOCKED = (
        "MigrationBlocked",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "A sync window of Argo CD is closed for the migrations.",
        "Wait for the window, or open it in the AppProject.",
    )
    MIGRATION_PAUSING = (
        "MigrationPausing",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The last migration failed; it is tried again after a pause.",
        "Nothing yet. The migration's own log says why it failed.",
    )
    MIGRATION_PENDING = (
        "MigrationPending",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "Git has a commit for the migrations that Argo CD syncs by itself; the gate leaves it half a minute for that.",
        "Nothing yet. If nobody syncs it, the gate has its Jobs run.",
    )
    COMPARISON_PENDING = (
        "ComparisonPending",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "Argo CD has been asked to compare the Application afresh, so that nothing is decided on an old status.",
        "Wait. If it never comes, check Argo CD's application controller and repo server.",
    )
    PODS_NOT_STABLE = (
        "PodsNotStable",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "Temporal's pods are missing, not ready, or too young to be trusted.",
        "Wait. If it stays so, look at the pods that are named.",
    )
    FRONTEND_UNREACHABLE = (
        "FrontendUnreachable",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The frontend does not answer.",
        "Check the frontend's pods, its Service and address, and network policies.",
    )
    FRONTEND_NOT_SERVING = (
        "FrontendNotServing",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The frontend answers but is not ready: it says NOT_SERVING, or it cannot read its database.",
        "Wait for the cluster's membership. If it stays so, look at the logs of frontend and history.",
    )
    FRONTEND_NOT_TEMPORAL = (
        "FrontendNotTemporal",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "Something else than Temporal's frontend answers at its address: another gRPC server, an HTTP server, or a proxy without a route.",
        "Set temporal.frontend.address to the frontend's gRPC port (7233), not to its HTTP port or the web UI; a proxy must pass gRPC on.",
    )
    FRONTEND_RATE_LIMITED = (
        "FrontendRateLimited",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The frontend, or a proxy before it, answers with a rate limit. That Temporal works cannot be proved.",
        "Wait until the load is over. If it stays so, raise frontend.rps and frontend.namespaceRPS in Temporal's dynamic configuration.",
    )
    CRASH_LOOPING = (
        "CrashLooping",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "A pod crashes for a cause that the gate does not know.",
        "Read the pod's previous log; its last lines are shown.",
    )
    DATABASE_UNUSABLE_FOR_RUNTIME = (
        "DatabaseUnusableForRuntime",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "Temporal's servers cannot use their database: it does not answer them, does not exist, or refuses their login.",
        "Compare the runtime's database settings and Secret with the gate's.",
    )

    NAMESPACE_METADATA_MISSING = (
        "NamespaceMetadataMissing",
        ExitCode.TEMPORAL,
        Tolerance.NONE,
        "Row 54321 of namespace_metadata is missing; no Temporal server can start.",
        "In the default store: INSERT INTO namespace_metadata (partition_id, notification_version) VALUES (54321, 1); then sync the gate's Application.",
    )
    CLUSTER_METADATA_DUPLICATED = (
        "ClusterMetadataDuplicated",
        ExitCode.TEMPORAL,
        Tolerance.NONE,
        "Two rows of cluster_metadata_info have the same initial failover version; every Temporal server panics on them.",
        "In the default store look at SELECT * FROM cluster_metadata_info, delete the row of the cluster that is not this one, then sync the gate's Application.",
    )
    SYSTEM_NAMESPACE_MISSING = (
        "SystemNamespaceMissing",
        ExitCode.TEMPORAL,
        Tolerance.NONE,
        "The namespace temporal-system is not in the database.",
        "Restore the default store's namespaces from the backup that its other rows come from; then sync the gate's Application.",
    )
    TABLE_PERMISSION_DENIED = (
        "TablePermissionDenied",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "Temporal's role may not use its own tables.",
        "As the tables' owner: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO the runtime's role.",
    )
    RUNTIME_FINDS_NO_SCHEMA = (
        "RuntimeFindsNoSchema",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "When it last started, a server found no right schema. It ends a run only where the gate finds both right: then the server is set to another database, name, search_path or release.",
        "Compare the runtime's database host, name, role and release with the gate's.",
    )
    IMAGE_NOT_PULLABLE = (
        "ImageNotPullable",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "A pod's image cannot be pulled.",
        "Check the image's name and tag, and the pod's imagePullSecrets.",
    )
    POD_UNSCHEDULABLE = (
        "PodUnschedulable",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "No node takes the pod (taints, selectors, resources).",
        "Read the scheduler's message that is shown; add the toleration, or the capacity.",
    )
    OUT_OF_MEMORY = (
        "OutOfMemory",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "A container was killed because it exceeded its memory limit.",
        "Raise the container's memory limit (resources.limits.memory).",
    )
    CONTAINER_CANNOT_START = (
        "ContainerCannotStart",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "A container's process cannot be started: the command, a mount or a lifecycle hook fails.",
        "Correct what the message names in the container's specification.",
    )
    POD_NOT_STARTING = (
        "PodNotStarting",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "A pod's containers are not created: a volume, a Secret or the network does not come.",
        "Read the pod's events (kubectl describe pod), and provide what they name.",
    )
    POD_NOT_MADE = (
        "PodNotMade",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "A workload's pods are not created: admission, a quota or a missing service account refuses them.",
        "Correct what the message names; kubectl describe shows the workload's events.",
    )
    POD_FAILED = (
        "PodFailed",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "A pod failed as a whole: it was evicted, exceeded a deadline, or its Job gave up.",
        "Correct what the message names.",
    )
    RUNTIME_PODS_NOT_FOUND = (
        "RuntimePodsNotFound",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "No Deployment, StatefulSet, Rollout or pod of Temporal's servers matches the runtime's selector, so none can be judged or restarted.",
        "Set runtime.namespace and runtime.selector to the labels of Temporal's pods: kubectl get pods --show-labels. An alias or nameOverride of the chart changes app.kubernetes.io/name.",
    )
    CONTAINER_CONFIG_INVALID = (
        "ContainerConfigInvalid",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "A container cannot be made: a Secret or ConfigMap that it names is missing.",
        "Create what the message names, in the pod's namespace.",
    )

    DOWNSTREAM_FAILED = (
        "DownstreamFailed",
        ExitCode.DOWNSTREAM,
        Tolerance.NONE,
        "An Application after Temporal failed, and syncing it again did not help.",
        "Read its Job's log, mend its cause, then sync the gate's Application.",
    )
    DOWNSTREAM_RUNNING = (
        "DownstreamRunning",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "An Application after Temporal is syncing, or its Job is running.",
        "Wait for it. If it hangs, look at its pod.",
    )
    GUARD_HOLDS = (
        "GuardHolds",
        ExitCode.DOWNSTREAM,
        Tolerance.NONE,
        "The Application's own guard holds its sync, which applies nothing until the guard has passed.",
        "Read the last line of the guard's Job: it says what the guard waits for, or why it failed.",
    )
    DOWNSTREAM_PAUSING = (
        "DownstreamPausing",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "An Application after Temporal failed again; it is synced again after a pause.",
        "Nothing yet. Its Job's log says why it failed.",
    )

    SCHEMA_NEWER = (
        "SchemaNewer",
        ExitCode.PASSED,
        Tolerance.NONE,
        "A schema is newer than the release needs, as after a rollback. Temporal starts on it.",
        "Nothing, if the rollback was meant.",
    )
    MIGRATION_TAKES_LONG = (
        "MigrationTakesLong",
        ExitCode.PASSED,
        Tolerance.NONE,
        "The next migration rewrites or indexes a large table, and Temporal waits for its locks meanwhile.",
        "Plan for it: raise deadlineSeconds of the gate and activeDeadlineSeconds of the migrations' Job above the time it takes.",
    )
    MINOR_SKIPPED = (
        "MinorSkipped",
        ExitCode.PASSED,
        Tolerance.NONE,
        "The upgrade skips a minor release of Temporal, which Temporal does not support.",
        "Upgrade one minor release at a time.",
    )
    RELEASE_ESTIMATED = (
        "ReleaseEstimated",
        ExitCode.PASSED,
        Tolerance.NONE,
        "This patch release is not in the table; the versions of the greatest listed patch below it are taken as a lower bound.",
        "Use a newer hook, or set temporal.schemaVersions.",
    )
    JOBS_UNSEEN = (
        "JobsUnseen",
        ExitCode.PASSED,
        Tolerance.NONE,
        "The gate may not read these Jobs or their pods, so it judges them by what Argo CD says of the whole Application.",
        "Give the gate's ServiceAccount the right that is named (docs/rbac.md lists them all).",
    )
    APPLICATION_UNHEALTHY = (
        "ApplicationUnhealthy",
        ExitCode.PASSED,
        Tolerance.NONE,
        "Something other than its Jobs makes the Application Progressing or Degraded. The gate does not act on it.",
        "Look at the resource in Argo CD. Its step of the rollout waits for it.",
    )
    RUNTIME_DRIFTS = (
        "RuntimeDrifts",
        ExitCode.PASSED,
        Tolerance.NONE,
        "The runtime's Application is OutOfSync at a commit that it was not synced to, but its pods run: the gate asks Temporal all the same.",
        "Nothing, if its step is still to come; else find out what drifts (argocd app diff).",
    )
    RUNTIME_NOT_FOUND = (
        "RuntimeNotFound",
        ExitCode.PASSED,
        Tolerance.NONE,
        "The runtime's Application does not exist, so its step is taken to be still ahead and Temporal is not asked for.",
        "Nothing on a first rollout; else correct the name in runtime.application.",
    )

    def __init__(self, title: str, exit_code: ExitCode, tolerance: Tolerance, meaning: str, remedy: str) -> None:
        """Give each row's columns a name."""
        self.title = title
        self.exit_code = exit_code
        self.tolerance = tolerance
        self.meaning = meaning
        self.remedy = remedy

    @property
    def patience(self) -> str:
        """Return how long a run that meets it goes on."""
        if self.exit_code is ExitCode.PASSED:
            return "as its success" if "Passed" in self.title else "never: it is reported with the outcome"
        return {
            Tolerance.NONE: "at once",
            Tolerance.MOMENT: "once it has lasted for 5 s",
            Tolerance.GRACE: "after the grace (`graceSeconds`)",
            Tolerance.DEADLINE: "at the deadline (`deadlineSeconds`)",
        }[self.tolerance]

    def __str__(self) -> str:
        """Return the name that log, Event and docs show."""
        return self.title
