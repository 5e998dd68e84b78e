#!/bin/sh
# As chrislusf/seaweedfs does: root gives the data to the server's user and becomes it.
if [ "$(id -u)" = 0 ]; then
    [ "$(stat -c %U /data)" = seaweed ] || chown -R seaweed:seaweed /data
    exec setpriv --reuid=seaweed --regid=seaweed --clear-groups -- "$0" "$@"
fi
[ "$1" != server ] || { shift; set -- server -dir=/data -master.volumePreallocate "$@"; }
exec weed -logtostderr=true "$@"
