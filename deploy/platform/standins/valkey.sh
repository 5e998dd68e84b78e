#!/bin/sh
# As valkey/valkey does: root gives the data to the server's user and becomes it.
set -e
if [ "$(id -u)" = 0 ]; then
    find . \! -user valkey -exec chown valkey '{}' +
    exec setpriv --reuid=valkey --regid=valkey --clear-groups -- "$0" "$@"
fi
exec "$@" --protected-mode no
