#!/bin/sh
# inferd by busctl, which every machine with systemd has: what runs, and a window of each pipeline kept as a sample.
#
#   sudo sh pipelines.sh
#
# Reading needs no authority; Capture asks polkit for org.inferd1.capture, which root needs not be granted.
set -eu

property() {
    busctl get-property org.inferd1 "$1" "org.inferd1.$2" "$3" | cut -d ' ' -f 2- | tr -d '"'
}

echo "inferd $(property /org/inferd1 Manager Version): $(property /org/inferd1 Manager Status)"
busctl tree --list org.inferd1 | grep '^/org/inferd1/pipeline/' | while read -r pipeline; do
    echo "$pipeline: $(property "$pipeline" Pipeline State), model $(property "$pipeline" Pipeline Model)" \
        "$(property "$pipeline" Pipeline ActiveVersion)"
    busctl call org.inferd1 "$pipeline" org.inferd1.Pipeline Capture u 1
done
