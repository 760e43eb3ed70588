#!/usr/bin/env bash
# Runs client.py: makes a virtual environment, generates the client from the .proto files, starts
# the tour. Arguments go to client.py (--server ADDRESS). Needs python3 with venv, and the Python
# package index for the first run.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${DAYBOOK_PYTHON_FOLDER:-$root/target/python_client}
python=$work/venv/bin/python

if ! cmp -s "$here/requirements.txt" "$work/installed.txt"; then
    mkdir -p "$work"
    rm -rf "$work/venv"
    python3 -m venv "$work/venv" || {
        echo "run.sh: python3 cannot make a virtual environment (on Debian: apt install python3-venv)" >&2
        exit 3
    }
    "$python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" || {
        echo "run.sh: pip could not install what requirements.txt names; is the package index within reach?" >&2
        exit 3
    }
    cp "$here/requirements.txt" "$work/installed.txt"
fi

# google/rpc/status.proto is compiled already, in googleapis-common-protos.
rm -rf "$work/generated"
mkdir -p "$work/generated"
"$python" -m grpc_tools.protoc --proto_path="$root/schemas/proto" \
    --python_out="$work/generated" --grpc_python_out="$work/generated" \
    daybook/v1/{common,command,resources,query}.proto

PYTHONPATH=$work/generated exec "$python" "$here/client.py" "$@"
