#!/bin/sh
# The entrypoint of Temporal's server image: fills in the configuration from the environment, becomes the server.
# SERVICES says which of the four it is.
set -eu
cd /etc/temporal/config
eval "cat <<END
$(cat config_template.yaml)
END
" > docker.yaml
exec temporal-server --root /etc/temporal --env docker --allow-no-auth start --service="$SERVICES"
