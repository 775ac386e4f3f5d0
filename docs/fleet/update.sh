#!/bin/sh
# Installs a bundle on this device and lets it serve; goes back where the device is not well after that. Run as root; again does
# nothing. Needs jq and curl.
#
#   update.sh BUNDLE [SECONDS]
#
# Exit code 0: the version serves. 1: it does not, and what served before does.
set -eu
bundle=$1 patience=${2:-60}

wanted=$(inferctl --json bundle inspect "$bundle")
name=$(echo "$wanted" | jq -r .bundle.name)
version=$(echo "$wanted" | jq -r .bundle.version)
active() {
    inferctl --json models | jq -r --arg name "$name" '.models[] | select(.name == $name) | .active'
}

before=$(active)
if [ "$before" = "$version" ]; then
    echo "$name $version serves already"
    exit 0
fi
# Where it is refused, cannot be loaded here or misses its golden samples, this fails, and nothing has changed.
inferctl install --activate "$bundle"

# Every pipeline serves: also those on other models, so let the device be well before.
end=$(($(date +%s) + patience))
until said=$(curl -sS --fail-with-body -m 5 http://127.0.0.1:9469/readyz 2>&1); do
    if [ "$(date +%s)" -ge "$end" ]; then
        echo "not ready after $patience s: $said" >&2
        [ -z "$before" ] || inferctl activate "$name" "$before"
        exit 1
    fi
    sleep 1
done

# What is neither active nor previous goes: versions are kept until somebody removes them.
inferctl --json models | jq -r --arg name "$name" \
    '.models[] | select(.name == $name) | . as $model | .versions[].version | select(. != $model.active and . != $model.previous)' |
    while read -r old; do inferctl remove "$name" "$old"; done
echo "$name $version serves, after ${before:-none}"
