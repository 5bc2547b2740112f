#!/bin/sh
# The entry of Soulcaster's image: `server`, `set-up`, `worker`, `app`, `receiver`, or any other command.
#
# Secrets come as files: each file of the two folders becomes the variable it is named after, for this process and what it starts,
# and for nobody who may look at the container's configuration. An empty file is a secret that is not set.
set -eu

for file in /run/secrets/* /run/secrets.d/*; do
    [ -s "$file" ] || continue
    name=${file##*/}
    case $name in
    [!A-Z_]* | *[!A-Z0-9_]*)
        echo "The secret $name was refused: expected the name of a variable, such as SOULCASTER_GEMINI_API_KEY." >&2
        exit 1
        ;;
    esac
    value=$(cat "$file")
    export "$name=$value"
done

cd /opt/soulcaster
PATH="/opt/soulcaster/.venv/bin:$PATH"
export PATH PREFECT_LOGGING_SETTINGS_PATH=/opt/soulcaster/infra/prefect/logging.yml

case ${1:-} in
server)
    exec prefect server start --host 0.0.0.0 --port 4200
    ;;
set-up)
    soulcaster migrate
    python infra/prefect/setup.py
    # Not over a server that has these very deployments: a schedule that a person paused stays paused.
    deployed=$(cat prefect.yaml flows/*.py | cksum)
    stamp="$SOULCASTER_HOME/prefect-deployed"
    if [ "$(cat "$stamp" 2>/dev/null || true)" != "$deployed" ] || ! prefect deployment inspect refresh/refresh >/dev/null 2>&1; then
        prefect --no-prompt deploy --all
        printf '%s\n' "$deployed" >"$stamp"
    fi
    ;;
worker)
    exec prefect worker start --pool soulcaster --type process --with-healthcheck
    ;;
app)
    # Sign-in is made of our settings; without it `soulcaster` refuses to listen on any address but loopback.
    sign_in=$(python -c 'from soulcaster import settings, sign_in
found = settings.load_settings()
settings.check_doors(found)
print("\n".join(sign_in.prepare(found)))')
    # shellcheck disable=SC2086  # two words without spaces in them, or none
    exec streamlit run app/main.py --server.headless true --browser.gatherUsageStats false \
        --server.address 0.0.0.0 --server.port "${SOULCASTER_APP_PORT:-8501}" $sign_in
    ;;
receiver)
    exec uvicorn --factory app.webhook:make_app --no-access-log --host 0.0.0.0 --port "${SOULCASTER_RECEIVER_PORT:-8787}"
    ;;
*)
    exec "$@"
    ;;
esac
