"""Where an audit's facts come from: manifests in files, or a cluster. Each returns values of `hook.audit.rollout`."""
