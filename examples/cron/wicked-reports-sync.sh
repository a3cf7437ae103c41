#!/bin/sh
# Runs a sync from cron: silent if all is well; else prints the output, which cron mails, and keeps the exit code.
# usage: wicked-reports-sync.sh FOLDER, which has sync.yaml, and keys.env with the lines NAME=VALUE (chmod 600)
set -eu
folder=$1
set -a
. "$folder/keys.env"
set +a
code=0
output=$(wicked-reports-sync run "$folder/sync.yaml" 2>&1) || code=$?
[ "$code" -eq 0 ] || printf '%s\nwicked-reports-sync ended with code %s\n' "$output" "$code"
exit "$code"
