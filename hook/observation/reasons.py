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
    """Only a person can repair it, but a migration by hand passes through the same state."""
    GRACE = "after the grace"
    """Somebody else may still repair it (a Secret, a role, an Application that is about to be created)."""
    DEADLINE = "at the deadline"
    """It may pass by itself; the run waits for it as long as it may."""


class Reason(Enum):
    """A reason: its name, exit code, tolerance, meaning and remedy. Remedies say what a person does, not what the hook does."""

    PASSED = (
        "Passed",
        ExitCode.PASSED,
        Tolerance.NONE,
        "Everything that the policy requires is in place.",
        "Nothing.",
    )
    PASSED_WITH_WARNING = (
        "PassedWithWarning",
        ExitCode.PASSED,
        Tolerance.NONE,
        "Both schemas are right, but Temporal or a later Application is not up. The gate cannot repair it; the fix may be in a later step.",
        "Read the warnings that are listed with it.",
    )
    HOOK_BUG = (
        "HookBug",
        ExitCode.BUG,
        Tolerance.NONE,
        "The hook itself failed. It decided nothing.",
        "Report it with the log. The Job retries up to its backoffLimit. To run it again, sync the gate's Application.",
    )
    SETTINGS_INVALID = (
        "SettingsInvalid",
        ExitCode.SETTINGS,
        Tolerance.NONE,
        "A setting is unknown, missing, of the wrong type, or contradicts another one. The gate contacted no other system.",
        "Correct the setting that is named, then sync the gate's Application.",
    )
    OWN_APPLICATION_TARGETED = (
        "OwnApplicationTargeted",
        ExitCode.SETTINGS,
        Tolerance.NONE,
        "The settings have the gate sync the Application whose sync runs the gate. That would be a deadlock.",
        "Give the gate an Application of its own, separate from migrations, runtime and downstream.",
    )
    SCHEMA_JOB_BESIDE_SERVERS = (
        "SchemaJobBesideServers",
        ExitCode.SETTINGS,
        Tolerance.NONE,
        "With migrations.beforeServers, the schema must come before the servers, but the Application creates both in the same sync wave.",
        "Make the schema Job a PreSync hook (Temporal's chart 1.x: schema.useHelmHooks: true), or split the chart into two Applications.",
    )
    RUNTIME_INSTANCES_MIXED = (
        "RuntimeInstancesMixed",
        ExitCode.SETTINGS,
        Tolerance.GRACE,
        "The runtime's selector matches pods of more than one instance (app.kubernetes.io/instance). The gate restarts none of them.",
        "Limit runtime.selector to one instance, for example app.kubernetes.io/name=temporal,app.kubernetes.io/instance=NAME.",
    )
    MIGRATION_JOB_AMBIGUOUS = (
        "MigrationJobAmbiguous",
        ExitCode.SETTINGS,
        Tolerance.GRACE,
        "The migrations Application has several Jobs, and the gate cannot tell which of them migrates the schema.",
        "Set migrations.jobs to the names of the schema Jobs.",
    )
    DEADLINE_EXCEEDED = (
        "DeadlineExceeded",
        ExitCode.DEADLINE,
        Tolerance.NONE,
        "The run reached its deadline before everything was right. The message names what was still missing.",
        "Repair what is named, then sync the gate's Application. If the run only needed more time, raise deadlineSeconds.",
    )
    GUARD_SUPERSEDED = (
        "GuardSuperseded",
        ExitCode.SUPERSEDED,
        Tolerance.NONE,
        "Only a guard ends like this. While it waited, Git got a newer commit for its Application, and Argo CD cannot sync that commit before this sync ends.",
        "Nothing, if Argo CD syncs the newer commit by itself (syncPolicy.retry with refresh: true, automated sync, RollingSync). Otherwise, sync the Application.",
    )
    MIGRATION_AWAITED = (
        "MigrationAwaited",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "A schema is not right yet, and this run must not request a migration (migrations.attempts is 0). A gate, another guard or a person has to.",
        "Sync the migrations Application or the gate's Application.",
    )
    NOT_YET = (
        "NotYet",
        ExitCode.DEADLINE,
        Tolerance.NONE,
        "Only `check` ends like this. `run` would not pass now: it would wait or act first. The message names what it would do next.",
        "Nothing, if a run is in progress or due. Otherwise, sync the gate's Application, and it does what is named.",
    )
    GATE_DOES_NOT_HOLD = (
        "GateDoesNotHold",
        ExitCode.AUDIT,
        Tolerance.NONE,
        "Only `audit` ends like this. Something in the rollout does not hold back what it should. The message names each finding.",
        "Follow the findings (docs/gating.md lists them all), then run audit again.",
    )
    STOPPED = (
        "Stopped",
        ExitCode.STOPPED,
        Tolerance.NONE,
        "SIGTERM ended the run. What the run had started continues.",
        "If no new run starts by itself, sync the gate's Application. The run continues from the state that it finds.",
    )
    INTERRUPTED = (
        "Interrupted",
        ExitCode.INTERRUPTED,
        Tolerance.NONE,
        "Ctrl-C ended the run. What the run had started continues.",
        "Start it again. The run continues from the state that it finds.",
    )

    SCHEMA_STUCK = (
        "SchemaStuck",
        ExitCode.SCHEMA,
        Tolerance.MOMENT,
        "A migration was interrupted in the middle of a version whose statements cannot be run twice. Every further migration fails.",
        "Run the SQL that is shown, then sync the gate's Application.",
    )
    SCHEMA_VERSION_MISSING = (
        "SchemaVersionMissing",
        ExitCode.SCHEMA,
        Tolerance.GRACE,
        "The database has Temporal's tables but no version row for its name: it was renamed or partly restored. A migration would start at version 0.0 and fail.",
        "If a restore is running, let it finish. Otherwise, insert the row of schema_version for this database name with the version that the tables have. Then sync the gate's Application.",
    )
    SCHEMA_INCOMPLETE = (
        "SchemaIncomplete",
        ExitCode.SCHEMA,
        Tolerance.GRACE,
        "The version row exists, but tables or columns of that version are missing. The database was partly restored, or the row was written by hand.",
        "Finish the restore, or restore the whole database from one backup, then sync the gate's Application.",
    )
    SCHEMA_OF_OTHER_STORE = (
        "SchemaOfOtherStore",
        ExitCode.SCHEMA,
        Tolerance.MOMENT,
        "The database has the schema of Temporal's other store. The databases are swapped, or the wrong schema directory was applied.",
        "Compare the database names of both stores. If the wrong schema was applied, recreate the database and migrate it. Then sync the gate's Application.",
    )
    SCHEMA_VERSION_FOREIGN = (
        "SchemaVersionForeign",
        ExitCode.SCHEMA,
        Tolerance.MOMENT,
        "The database has a table schema_version that belongs to another program. Every migration fails on it.",
        "Give Temporal its own database, or its own schema that comes first in the search path of its role and of the gate.",
    )
    SCHEMA_VERSION_MALFORMED = (
        "SchemaVersionMalformed",
        ExitCode.SCHEMA,
        Tolerance.MOMENT,
        "The text in schema_version is not a version. Temporal would read it as 0.",
        "Set curr_version in schema_version to the version that the schema really has.",
    )
    SCHEMA_VERSION_AMBIGUOUS = (
        "SchemaVersionAmbiguous",
        ExitCode.SCHEMA,
        Tolerance.MOMENT,
        "The table schema_version has more than one row for this database, because its primary key is missing.",
        "Keep the correct row, delete the others, and restore the primary key (version_partition, db_name).",
    )
    DATABASE_EMPTY = (
        "DatabaseEmpty",
        ExitCode.SCHEMA,
        Tolerance.NONE,
        "The database has no schema, and onEmptyDatabase: fail forbids creating one, because a restore may be in progress.",
        "Finish the restore. If there is none, sync the Application of the gate with onEmptyDatabase: migrate.",
    )

    MIGRATION_FAILED = (
        "MigrationFailed",
        ExitCode.MIGRATION,
        Tolerance.NONE,
        "Every migration that this run requested failed.",
        "Read the migration's log, fix the cause, then sync the gate's Application.",
    )
    MIGRATION_LEFT_SCHEMA_BEHIND = (
        "MigrationLeftSchemaBehind",
        ExitCode.MIGRATION,
        Tolerance.NONE,
        "The migration succeeded, but the schema is still older than the release needs. The schema tool is older than the release, or it migrates another database.",
        "Set the admin-tools image of the migrations to the release, and compare the database names. Then sync both Applications.",
    )

    MIGRATION_HANGS = (
        "MigrationHangs",
        ExitCode.MIGRATION,
        Tolerance.GRACE,
        "The migration's Job neither finishes nor makes progress. The error persists, and Kubernetes keeps retrying.",
        "Correct what the message names, then sync the migrations Application and the gate's Application.",
    )
    JOB_SUSPENDED = (
        "JobSuspended",
        ExitCode.MIGRATION,
        Tolerance.GRACE,
        "A Job is suspended (spec.suspend), so it has no pod.",
        'Resume the Job (kubectl patch job NAME -p \'{"spec":{"suspend":false}}\'), or wait until its queue admits it.',
    )
    SIDECAR_KEEPS_JOB = (
        "SidecarKeepsJob",
        ExitCode.MIGRATION,
        Tolerance.GRACE,
        "The main container of a Job's pod has finished, but a sidecar keeps the pod running. The Job never completes.",
        "Disable sidecar injection for the Job's pods, or use native sidecars (init containers with restartPolicy: Always).",
    )
    OPERATION_STUCK = (
        "OperationStuck",
        ExitCode.MIGRATION,
        Tolerance.GRACE,
        "Argo CD's operation waits for something that cannot happen: a hook Job that does not exist, or servers whose schema is gone.",
        "Terminate the operation (argocd app terminate-op NAME), then sync the Application.",
    )
    OPERATION_RETRIES_OLD_COMMIT = (
        "OperationRetriesOldCommit",
        ExitCode.MIGRATION,
        Tolerance.GRACE,
        "Argo CD's operation keeps retrying an old commit while Git has a newer one.",
        "Terminate the operation (argocd app terminate-op NAME), or set spec.syncPolicy.retry.refresh: true, so that a retry uses the newer commit.",
    )

    DATABASE_LOGIN_REFUSED = (
        "DatabaseLoginRefused",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "PostgreSQL, or the pooler or provider in front of it, refused the login. The user, password or token is wrong, or the client address is not allowed.",
        "Compare the user and password in the Secret with the role in PostgreSQL.",
    )
    DATABASE_CREDENTIALS_MISSING = (
        "DatabaseCredentialsMissing",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "A file with a part of the database's login is missing or cannot be used.",
        "Check the Secret or ConfigMap and its keys (stores.* in the chart's values). It must be in the gate's namespace.",
    )
    DATABASE_MISSING = (
        "DatabaseMissing",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "PostgreSQL answers, but this database does not exist.",
        "Create the database, or correct its name. The gate creates no databases.",
    )
    DATABASE_PERMISSION_DENIED = (
        "DatabasePermissionDenied",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The role is not allowed to read what the gate needs.",
        "GRANT CONNECT on the database, USAGE on the schema and SELECT on schema_version and schema_update_history to the role.",
    )
    DATABASE_SCHEMA_HIDDEN = (
        "DatabaseSchemaHidden",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "Temporal's table schema_version is in a schema that is not in this session's search path, or that the role is not allowed to use.",
        "GRANT USAGE on that schema to the role. If Temporal sets connectAttributes.search_path, set stores.<store>.searchPath to the same text. Otherwise, set the role's search_path.",
    )
    DATABASE_TLS_REFUSED = (
        "DatabaseTlsRefused",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The database and the gate do not agree on TLS: one of them requires it, one refuses it, or the certificate does not match.",
        "Set sslMode, the CA and the client certificate as the database requires.",
    )
    DATABASE_TLS_FILE_UNUSABLE = (
        "DatabaseTlsFileUnusable",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "A CA, certificate or key file of the gate is missing, cannot be read, or has too open permissions. The gate did not contact the database.",
        "Mount the Secret's files at the paths in the settings. Others must not be able to read a client key: set the volume's defaultMode to 0440 with the pod's fsGroup, or to 0400.",
    )
    DATABASE_OPTIONS_REFUSED = (
        "DatabaseOptionsRefused",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The connection's options were refused. PostgreSQL does not know them, or a pooler does not pass them on.",
        "Remove stores.<store>.options (or searchPath), and set it on the role: ALTER ROLE ... SET search_path = .... Or configure the pooler to accept it (PgBouncer: ignore_startup_parameters).",
    )
    DATABASE_EXTENSION_MISSING = (
        "DatabaseExtensionMissing",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The next migration needs the extension btree_gin. The database does not have it, and the migration is not allowed to install it.",
        "Run CREATE EXTENSION btree_gin in that database, as a superuser or as the provider's administrator.",
    )
    DATABASE_NOT_POSTGRES = (
        "DatabaseNotPostgres",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "Something other than PostgreSQL answers at this address: MySQL, a web server, or a port that accepts only TLS.",
        "Correct the host and port. PostgreSQL usually listens on 5432.",
    )
    DATABASE_SUSPENDED = (
        "DatabaseSuspended",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The provider or the pooler has disabled this database.",
        "Enable it again in the provider or the pooler, or raise the quota that is named.",
    )
    API_FORBIDDEN = (
        "ApiForbidden",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The Kubernetes API or the Argo CD API forbids a request that the gate needs.",
        "Grant the gate's ServiceAccount the verb that is named, in the namespace that is named (docs/rbac.md lists them all).",
    )
    API_REQUEST_REFUSED = (
        "ApiRequestRefused",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The Kubernetes API or the Argo CD API refused the gate's request as invalid. It would refuse the same request again.",
        "Compare the version of the CRDs with the release of Argo CD, and check the field that the message names.",
    )
    ADMISSION_DENIED = (
        "AdmissionDenied",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "An admission webhook or policy denied a request of the gate that RBAC allows.",
        "Exempt the gate's ServiceAccount in the webhook or policy that is named, or change what it rejects.",
    )
    API_LOGIN_REFUSED = (
        "ApiLoginRefused",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The Kubernetes API or the Argo CD API does not accept the gate's token or certificate.",
        "Check the kubeconfig, or the ServiceAccount's token.",
    )
    KUBECONFIG_UNUSABLE = (
        "KubeconfigUnusable",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The kubeconfig is missing or cannot be used: a context, an entry, or a file that it names is missing.",
        "Correct the path, the context or the entry that is named.",
    )
    CREDENTIAL_HELPER_FAILED = (
        "CredentialHelperFailed",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The exec plugin or OIDC issuer in the kubeconfig returned no credentials. It is missing, failed, timed out, or returned something else.",
        "Run the plugin by hand, or check the issuer. For a gate, use a ServiceAccount's token instead.",
    )
    API_PROXY_UNUSABLE = (
        "ApiProxyUnusable",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The gate's HTTP proxy cannot be used, or it refuses the gate.",
        "Check HTTPS_PROXY, or proxy-url in the kubeconfig: the address and login of an HTTP proxy. To reach the server directly, add its name or address to NO_PROXY.",
    )
    APPLICATION_MISSING = (
        "ApplicationMissing",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The Application does not exist.",
        "Create it, or correct its name and namespace.",
    )
    APPLICATION_IN_OTHER_PROJECT = (
        "ApplicationInOtherProject",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The Application is in another Argo CD project than the one in the settings.",
        "Set argocd.server.project, or the project of that Application in the settings, to the project that is named.",
    )
    RECONCILIATION_SKIPPED = (
        "ReconciliationSkipped",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The Application has the annotation argocd.argoproj.io/skip-reconcile, so Argo CD neither syncs it nor updates its status.",
        "Remove the annotation from the Application.",
    )
    APPLICATION_BEING_DELETED = (
        "ApplicationBeingDeleted",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The Application is being deleted. Argo CD no longer syncs it.",
        "Wait until it is deleted and create it again, or remove the finalizer that blocks the deletion.",
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
        "The namespace does not exist.",
        "Create it, or correct its name.",
    )
    ARGO_CD_MISSING = (
        "ArgoCdMissing",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The API server does not have Argo CD's Application resource.",
        "Install Argo CD in this cluster, set argocd.kubeconfigFile to the cluster where it runs, or use the Argo CD API (argocd.server).",
    )
    FRONTEND_TLS_REFUSED = (
        "FrontendTlsRefused",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The frontend and the gate do not agree on TLS, or the frontend requires a client certificate.",
        "Set temporal.frontend.tls (CA, client certificate and key, server name) as the frontend requires.",
    )
    FRONTEND_REFUSES_GATE = (
        "FrontendRefusesGate",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "Temporal's authorizer, or a mesh or proxy in front of the frontend, refuses the gate. The gate cannot confirm that Temporal works.",
        "Give the gate a token (temporal.frontend.tokenFile, in the chart tokenSecret), or allow the gate in the mesh or proxy. Temporal's default authorizer requires the permission temporal-system:read.",
    )
    MIGRATION_COMMAND_UNUSABLE = (
        "MigrationCommandUnusable",
        ExitCode.ACCESS,
        Tolerance.GRACE,
        "The migration command cannot be started, or its state directory is not writable.",
        "Check migrations.command. The program must exist and be executable, and the directory must be writable.",
    )

    DATABASE_UNREACHABLE = (
        "DatabaseUnreachable",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The database does not answer.",
        "Check that PostgreSQL is running, and check its host name, its port and network policies.",
    )
    DATABASE_IN_RECOVERY = (
        "DatabaseInRecovery",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The server is a standby, or it is still recovering. No schema can be written there.",
        "Point the gate at the primary (the read-write service), or wait until the standby is promoted.",
    )
    DATABASE_READ_ONLY = (
        "DatabaseReadOnly",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The session is read-only although the server is not a standby. No migration can run, and Temporal cannot work.",
        "If the disk is full, enlarge it or free space: providers then make the database read-only. Otherwise, reset default_transaction_read_only where it is set.",
    )
    DATABASE_NOT_ACCEPTING = (
        "DatabaseNotAccepting",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The server answers, but accepts no sessions now. It is starting, stopping or recovering, or this database does not allow connections.",
        "Wait. If this continues, read PostgreSQL's log, and check datallowconn of the database.",
    )
    DATABASE_CONNECTIONS_EXHAUSTED = (
        "DatabaseConnectionsExhausted",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The server, the role, the database or the pooler has no connection left.",
        "Raise the limit that is named (max_connections, CONNECTION LIMIT, the pooler's limit), or end idle sessions. The gate opens one connection per store each time it looks.",
    )
    DATABASE_BUSY = (
        "DatabaseBusy",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The database answers, but a statement timed out. Another session holds a lock, or the server is overloaded.",
        "Wait. If this continues, find the session that holds the lock (pg_stat_activity, pg_blocking_pids), or raise requestTimeoutSeconds.",
    )
    DATABASE_ERROR = (
        "DatabaseError",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The database, or something in front of it, answered with an error that has no reason of its own.",
        "Read the error message. PostgreSQL's log has more details.",
    )
    SCHEMA_BEING_CHANGED = (
        "SchemaBeingChanged",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The schema is incomplete, and another session is changing it now: a restore, or a migration by hand.",
        "Wait until it finishes. If it hangs, look at that session in pg_stat_activity.",
    )
    API_UNREACHABLE = (
        "ApiUnreachable",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The Kubernetes API or the Argo CD API does not answer, or answers with a server error.",
        "Check the API server and the network policies between it and the gate.",
    )
    ANSWER_NOT_UNDERSTOOD = (
        "AnswerNotUnderstood",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The Kubernetes API or the Argo CD API returned an answer that its schema does not allow, so the gate cannot interpret it.",
        "Look at the object at the path that is named. A proxy or a conversion webhook may have changed it.",
    )
    MIGRATION_RUNNING = (
        "MigrationRunning",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "A migration is running. The gate does not judge a schema during an update.",
        "Wait until it finishes. If it hangs, look at its pod.",
    )
    MIGRATION_BLOCKED = (
        "MigrationBlocked",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "Argo CD's sync windows do not allow a sync of the migrations now.",
        "Wait until a window opens, or change the windows in the AppProject.",
    )
    MIGRATION_PAUSING = (
        "MigrationPausing",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The last migration failed. The gate retries it after a pause.",
        "Nothing yet. The migration's log says why it failed.",
    )
    MIGRATION_PENDING = (
        "MigrationPending",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "Git has a commit for the migrations that Argo CD syncs by itself. The gate waits up to 30 s for that sync.",
        "Nothing yet. If there is no sync, the gate runs the Jobs again.",
    )
    COMPARISON_PENDING = (
        "ComparisonPending",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The gate has asked Argo CD to refresh the Application, because it decides nothing on an old status.",
        "Wait. If the status stays old, check Argo CD's application controller and repo server.",
    )
    PODS_NOT_STABLE = (
        "PodsNotStable",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "Temporal's pods are missing, not ready, or started too recently to be counted as stable.",
        "Wait. If this continues, look at the pods that are named.",
    )
    FRONTEND_UNREACHABLE = (
        "FrontendUnreachable",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The frontend does not answer.",
        "Check the frontend's pods, its Service, its address and network policies.",
    )
    FRONTEND_NOT_SERVING = (
        "FrontendNotServing",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The frontend answers but is not ready. It reports NOT_SERVING, or it cannot read its database.",
        "Wait until the servers have found each other. If this continues, read the logs of frontend and history.",
    )
    FRONTEND_NOT_TEMPORAL = (
        "FrontendNotTemporal",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "Something other than Temporal's frontend answers at its address: another gRPC server, an HTTP server, or a proxy without a route.",
        "Set temporal.frontend.address to the frontend's gRPC port (7233), not to its HTTP port or the web UI. A proxy must forward gRPC.",
    )
    FRONTEND_RATE_LIMITED = (
        "FrontendRateLimited",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "The frontend, or a proxy in front of it, limits the gate's requests. The gate cannot confirm that Temporal works.",
        "Wait until the load drops. If this continues, raise frontend.rps and frontend.namespaceRPS in Temporal's dynamic configuration.",
    )
    CRASH_LOOPING = (
        "CrashLooping",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "A pod crashes, and the gate does not recognize the cause.",
        "Read the log of the pod's previous container. The message shows its last lines.",
    )
    DATABASE_UNUSABLE_FOR_RUNTIME = (
        "DatabaseUnusableForRuntime",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "Temporal's servers cannot use their database. It does not answer, does not exist, or refuses their login.",
        "Compare the runtime's database settings and Secret with the gate's.",
    )

    NAMESPACE_METADATA_MISSING = (
        "NamespaceMetadataMissing",
        ExitCode.TEMPORAL,
        Tolerance.NONE,
        "Row 54321 of namespace_metadata is missing. No Temporal server can start.",
        "In the default store: INSERT INTO namespace_metadata (partition_id, notification_version) VALUES (54321, 1). Then sync the gate's Application.",
    )
    CLUSTER_METADATA_DUPLICATED = (
        "ClusterMetadataDuplicated",
        ExitCode.TEMPORAL,
        Tolerance.NONE,
        "Two rows of cluster_metadata_info have the same initial failover version. Every Temporal server panics when it reads them.",
        "In the default store, run SELECT * FROM cluster_metadata_info, and delete the row of the cluster that is not this one. Then sync the gate's Application.",
    )
    SYSTEM_NAMESPACE_MISSING = (
        "SystemNamespaceMissing",
        ExitCode.TEMPORAL,
        Tolerance.NONE,
        "The namespace temporal-system is missing from the database.",
        "Restore the default store's namespaces from the same backup as its other rows. Then sync the gate's Application.",
    )
    TABLE_PERMISSION_DENIED = (
        "TablePermissionDenied",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "Temporal's role is not allowed to use its own tables.",
        "As the tables' owner: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO the runtime's role.",
    )
    RUNTIME_FINDS_NO_SCHEMA = (
        "RuntimeFindsNoSchema",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "When it last started, a server did not find the schema that it needs. This ends a run only if the gate finds both schemas right: the server then uses another database, search_path or release.",
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
        "No node accepts the pod (taints, selectors, resources).",
        "Read the scheduler's message, and add the toleration or the capacity.",
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
        "A container's process cannot start: its command, a mount or a lifecycle hook fails.",
        "Correct what the message names in the container's specification.",
    )
    POD_NOT_STARTING = (
        "PodNotStarting",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "A pod's containers are not created: a volume, a Secret or the network is not ready.",
        "Read the pod's events (kubectl describe pod), and provide what they name.",
    )
    POD_NOT_MADE = (
        "PodNotMade",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "A workload's pods are not created. An admission controller or a quota rejects them, or the service account is missing.",
        "Correct what the message names. kubectl describe shows the workload's events.",
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
        "No Deployment, StatefulSet, Rollout or pod of Temporal's servers matches the runtime's selector, so the gate can neither judge nor restart them.",
        "Set runtime.namespace, and set runtime.selector to the labels of Temporal's pods (kubectl get pods --show-labels). An alias or nameOverride of the chart changes app.kubernetes.io/name.",
    )
    CONTAINER_CONFIG_INVALID = (
        "ContainerConfigInvalid",
        ExitCode.TEMPORAL,
        Tolerance.GRACE,
        "A container cannot be created, because a Secret or ConfigMap that it uses is missing.",
        "Create what the message names, in the pod's namespace.",
    )

    DOWNSTREAM_FAILED = (
        "DownstreamFailed",
        ExitCode.DOWNSTREAM,
        Tolerance.NONE,
        "An Application after Temporal failed. The gate synced it again in vain, or passed because the runtime's step comes first.",
        "Read its Job's log, fix the cause, then sync the gate's Application.",
    )
    DOWNSTREAM_RUNNING = (
        "DownstreamRunning",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "An Application after Temporal is syncing, or its Job is running.",
        "Wait until it finishes. If it hangs, look at its pod.",
    )
    GUARD_HOLDS = (
        "GuardHolds",
        ExitCode.DOWNSTREAM,
        Tolerance.NONE,
        "The Application's own guard holds its sync. The sync applies nothing until the guard passes.",
        "Read the last line of the log of the guard's Job. It says what the guard waits for, or why it failed.",
    )
    DOWNSTREAM_PAUSING = (
        "DownstreamPausing",
        ExitCode.DEADLINE,
        Tolerance.DEADLINE,
        "An Application after Temporal failed again. The gate syncs it again after a pause.",
        "Nothing yet. Its Job's log says why it failed.",
    )

    SCHEMA_NEWER = (
        "SchemaNewer",
        ExitCode.PASSED,
        Tolerance.NONE,
        "A schema is newer than the release needs, for example after a rollback. Temporal works with it.",
        "Nothing, if you intended the rollback.",
    )
    MIGRATION_TAKES_LONG = (
        "MigrationTakesLong",
        ExitCode.PASSED,
        Tolerance.NONE,
        "The next migration rewrites or indexes a large table. Temporal waits for its locks in the meantime.",
        "Raise deadlineSeconds of the gate and activeDeadlineSeconds of the migrations' Job above the time that the migration takes.",
    )
    MINOR_SKIPPED = (
        "MinorSkipped",
        ExitCode.PASSED,
        Tolerance.NONE,
        "The upgrade skips a minor release of Temporal. Temporal does not support this.",
        "Upgrade one minor release at a time.",
    )
    RELEASE_ESTIMATED = (
        "ReleaseEstimated",
        ExitCode.PASSED,
        Tolerance.NONE,
        "The gate does not know this patch release. It requires at least the schema versions of the newest older patch that it knows.",
        "Use a newer version of the hook, or set temporal.schemaVersions.",
    )
    JOBS_UNSEEN = (
        "JobsUnseen",
        ExitCode.PASSED,
        Tolerance.NONE,
        "The gate is not allowed to read these Jobs or their pods. It judges them by Argo CD's status of the whole Application.",
        "Grant the gate's ServiceAccount the permission that is named (docs/rbac.md lists them all).",
    )
    APPLICATION_UNHEALTHY = (
        "ApplicationUnhealthy",
        ExitCode.PASSED,
        Tolerance.NONE,
        "Something other than its Jobs makes the Application Progressing or Degraded. The gate does not act on this.",
        "Look at the resource in Argo CD. The step of the rollout waits for it.",
    )
    RUNTIME_DRIFTS = (
        "RuntimeDrifts",
        ExitCode.PASSED,
        Tolerance.NONE,
        "The runtime's Application is OutOfSync at a commit that it was not synced to, but its pods run. The gate checks Temporal nevertheless.",
        "Nothing, if its step comes later. Otherwise, find out what differs (argocd app diff).",
    )
    RUNTIME_NOT_FOUND = (
        "RuntimeNotFound",
        ExitCode.PASSED,
        Tolerance.NONE,
        "The runtime's Application does not exist. The gate assumes that its step comes later, and does not check Temporal.",
        "Nothing on a first rollout. Otherwise, correct the name in runtime.application.",
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
            return "as its success" if "Passed" in self.title else "never; it is reported with the result"
        return {
            Tolerance.NONE: "at once",
            Tolerance.MOMENT: "once it has lasted for 5 s",
            Tolerance.GRACE: "after the grace (`graceSeconds`)",
            Tolerance.DEADLINE: "at the deadline (`deadlineSeconds`)",
        }[self.tolerance]

    def __str__(self) -> str:
        """Return the name that log, Event and docs show."""
        return self.title
